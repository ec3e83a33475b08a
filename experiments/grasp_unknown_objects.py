"""An arm grasps an object outside its train ranges.

    python experiments/grasp_unknown_objects.py            # resumable
    python experiments/grasp_unknown_objects.py --quick    # to see it run

A cell planned for boxes of 200 g gets a slippery capsule of 600 g with its centre of
mass off the middle, and the camera is off by 2 cm. Training has no capsule, no object
as heavy and none as slippery. The default agent is domain randomization followed by PPO
on the cell's own episodes; `--agent maml` meta-learns instead.
"""

from metarl.studies.story import tell

CELL = {
    "mass": 0.6,
    "friction": 0.3,
    "shape": "capsule",
    "com_offset": (0.01, 0.0),
    "camera_offset": (0.02, 0.0),
    "grip_force": 28.0,
}

if __name__ == "__main__":
    tell(__doc__, "arm-lift", CELL, agent="finetune", steps=5_000_000, episodes=20)
