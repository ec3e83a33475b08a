"""`metarl tune`: an agent's hyper-parameters on a family, by Optuna.

python experiments/tune.py           # resumable
python experiments/tune.py --quick   # to see it run
"""

import sys

from metarl.cli import main

if __name__ == "__main__":
    sys.exit(main(["tune", *sys.argv[1:]]))
