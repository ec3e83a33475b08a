"""An arm that grasps something it has never held.

    python experiments/grasp_unknown_objects.py            # resumable
    python experiments/grasp_unknown_objects.py --quick    # to see it run

A cell that was planned for boxes of 200 g gets a slippery capsule of 600 g whose weight
is off its middle, and the camera is wrong by 2 cm. Training met no capsule, nothing as
heavy and nothing as slippery. The default agent tunes one policy for all robots with
PPO on the cell's own tries; `--agent maml` meta-learns instead.
"""

from story import tell

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
