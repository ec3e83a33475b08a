"""`metarl variability`: how many training tasks an agent needs.

python experiments/task_variability.py           # resumable
python experiments/task_variability.py --quick   # to see it run
"""

import sys

from metarl.cli import main

if __name__ == "__main__":
    sys.exit(main(["variability", *sys.argv[1:]]))
