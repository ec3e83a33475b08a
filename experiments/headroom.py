"""`metarl headroom`: what adapting can gain on a family.

python experiments/headroom.py           # resumable
python experiments/headroom.py --quick   # to see it run
"""

import sys

from metarl.cli import main

if __name__ == "__main__":
    sys.exit(main(["headroom", *sys.argv[1:]]))
