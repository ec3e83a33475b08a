"""`metarl leaderboard`: all agents at equal cost.

python experiments/leaderboard.py           # resumable
python experiments/leaderboard.py --quick   # to see it run
"""

import sys

from metarl.cli import main

if __name__ == "__main__":
    sys.exit(main(["leaderboard", *sys.argv[1:]]))
