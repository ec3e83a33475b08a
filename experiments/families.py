"""`metarl reference`: the families' page, docs/families.md.

python experiments/families.py           # resumable
python experiments/families.py --quick   # to see it run
"""

import sys

from metarl.cli import main

if __name__ == "__main__":
    sys.exit(main(["reference", *sys.argv[1:]]))
