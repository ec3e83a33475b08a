"""The rows of the MAML paper that are reproduced, with the paper's own numbers."""

from metarl.studies.paper import Row

ROWS = {
    # Goals, reward (minus the distance), the longest step (0.1 along each axis), the
    # horizon (100) and the end of an episode within 0.01 of the goal are the paper's.
    "point-goal": Row(
        "2D navigation",
        "point-goal",
        paper={
            "MAML (paper)": (-40.4, -11.7, -3.3, -3.2),
            "pretrained (paper)": (-40.8, -19.7, -11.7, -8.5),
            "random (paper)": (-82.7, -58.0, -53.8, -46.8),
        },
        oracle=-2.3,
        agent_config={"tasks": 20, "later_step": 0.4, "gae_lambda": 1.0},
        note="Steps after the first one are shorter, as in the paper; how much was "
        "chosen on other\ntasks (evaluation seed 777) from 0.2, 0.3, 0.4 and 0.5.",
    ),
    # Timing (rllab: 0.01 s, one physics step), reward (direction x velocity - 0.05
    # |a|^2) and horizon (200) are the paper's.
    "cheetah-direction": Row(
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
    ),
}
STEPS = {"point-goal": 40_000_000, "cheetah-direction": 16_000_000}
"""Control steps of meta-training a seed."""
