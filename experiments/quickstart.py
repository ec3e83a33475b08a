"""The main job, small: what `metarl demo` runs. About four minutes on two cores.

python experiments/quickstart.py --seed 1
"""

import tyro

from metarl.cli.demo import demo

if __name__ == "__main__":
    tyro.cli(demo)
