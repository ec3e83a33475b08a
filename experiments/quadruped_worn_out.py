"""A quadruped at the end of a long day.

    python experiments/quadruped_worn_out.py            # resumable
    python experiments/quadruped_worn_out.py --quick    # to see it run

Its battery is nearly empty, its joints are worn, it carries 1.5 kg on its left side and
walks on a floor that is more slippery than any it was trained on. The default agent
walks with one policy for all robots, and adapts as the Minitaur of Song et al. (2020)
did on hardware: by batch hill climbing over its own short walks, without gradients.

Thirty walks of 3 s do not pay here: the policy copes with this robot as it is, and the
best of a few noisy tries is as often worse as better. `--agent hill-climb`, with its
meta-trained linear start, has only learnt to stand after 10M steps.
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
        agent="finetune-climb",
        steps=4_000_000,
        episodes=30,
    )
