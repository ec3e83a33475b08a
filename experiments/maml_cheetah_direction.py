"""The half-cheetah forward/backward row of the MAML paper, beside its own numbers.

    python experiments/maml_cheetah_direction.py            # three seeds, resumable
    python experiments/maml_cheetah_direction.py --quick    # a minute, to see it run

Timing (rllab: 0.01 s, one physics step), reward (direction x velocity - 0.05 |a|^2) and
horizon (200) are the paper's.
"""

from maml_paper import Row, reproduce

ROW = Row(
    "Half-cheetah forward/backward",
    "cheetah-direction",
    paper={
        "MAML (paper)": (-50.7, 293.2, 313.5, 315.7),
        "pretrained (paper)": (-43.0, -24.8, -12.9, 19.6),
        "random (paper)": (-35.7, 21.8, 62.3, 86.2),
    },
    oracle=442.7,
    paper_steps="32M",
    agent_config={"gae_lambda": 1.0},
    family_options={"timing": "rllab", "horizon": 200},
)

if __name__ == "__main__":
    reproduce(ROW, __doc__, steps=16_000_000)
