"""A quadruped at the end of a long day.

    python experiments/quadruped_worn_out.py            # resumable
    python experiments/quadruped_worn_out.py --quick    # to see it run

Its battery is nearly empty, its joints are worn, it carries 1.5 kg on its left side and
walks on a floor that is more slippery than any it was trained on. The default agent
adapts as the Minitaur of Song et al. (2020) did on hardware: by batch hill climbing
over its own short walks, without gradients.
"""

from story import tell

QUADRUPED = {
    "voltage": 12.5,
    "side_load": 1.5,
    "friction": 0.4,
    "joint_friction": 0.4,
}

if __name__ == "__main__":
    tell(
        __doc__,
        "quadruped-battery",
        QUADRUPED,
        agent="hill-climb",
        steps=10_000_000,
        episodes=30,
    )
