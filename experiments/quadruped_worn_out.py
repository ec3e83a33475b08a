"""A quadruped with a low battery, worn joints and a load.

    python experiments/quadruped_worn_out.py            # resumable
    python experiments/quadruped_worn_out.py --quick    # to see it run

It carries 1.5 kg on its left side on a floor more slippery than any in training. The
default agent starts from domain randomization and adapts as the Minitaur of Song et
al. (2020) did on hardware: by batch hill climbing on its own short walks, without
gradients.

Thirty walks of 3 s gain nothing here. The randomized policy already walks on this task,
and the best of a few noisy tries is as often worse as better. `--agent hill-climb`,
with its meta-trained linear start, has only learnt to stand after 10M steps.
"""

from metarl.studies.story import tell

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
