"""`metarl paper cheetah-direction`: the half-cheetah row of the MAML paper.

python experiments/maml_cheetah_direction.py           # resumable
python experiments/maml_cheetah_direction.py --quick   # to see it run
"""

import sys

from metarl.cli import main

if __name__ == "__main__":
    sys.exit(main(["paper", "cheetah-direction", *sys.argv[1:]]))
