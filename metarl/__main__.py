"""``python -m metarl`` is the ``metarl`` command."""

import sys

if not sys.flags.safe_path:
    # The current folder: a torch.py in it is not the one that metarl imports.
    del sys.path[0]

from metarl.cli import main

sys.exit(main())
