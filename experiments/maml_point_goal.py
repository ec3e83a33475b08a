"""`metarl paper point-goal`: the 2D navigation row of the MAML paper.

python experiments/maml_point_goal.py           # resumable
python experiments/maml_point_goal.py --quick   # to see it run
"""

import sys

from metarl.cli import main

if __name__ == "__main__":
    sys.exit(main(["paper", "point-goal", *sys.argv[1:]]))
