"""How to make each agent small: its test size."""

GRADIENT = {"tasks": 3, "episodes": 4, "hidden": (8,)}
MEMORY = {"tasks": 3, "episodes": 2, "units": 8, "hidden": (8,), "epochs": 1}
METRIC = {"tasks": 3, "support": 2, "queries": 2, "hidden": (8,), "epochs": 1}
PPO = {"simulations": 8, "rollout": 10, "pool": 5, "hidden": (8,)}
HISTORY = {**PPO, "window": 3, "encoder_units": 6, "latent": 2}
CONFIGS = {
    "maml": GRADIENT,
    "fomaml": GRADIENT,
    "meta-sgd": GRADIENT,
    "promp": GRADIENT,
    "reptile": GRADIENT,
    "lstm-optimizer": {**GRADIENT, "units": 4},
    "es-maml": {"pairs": 3, "trials": 4},
    "hill-climb": {"pairs": 3, "trials": 3},
    "rl2": MEMORY,
    "mann": {**MEMORY, "slots": 4, "width": 3},
    "varibad": {**MEMORY, "latent": 2, "decoder_hidden": (8,), "unroll": 10},
    "history": HISTORY,
    "rma": {**HISTORY, "estimator_hidden": (6,)},
    "student": HISTORY,
    "sysid": {**HISTORY, "estimator_hidden": (6,)},
    "metanet": {**GRADIENT, "units": 4, "key": 3},
    **dict.fromkeys(("siamese", "matching", "relation", "prototypical"), METRIC),
    "pearl": {
        "pool": 4,
        "tasks": 3,
        "prior_episodes": 1,
        "posterior_episodes": 1,
        "megabytes": 1,
        "hidden": (8,),
        "updates": 2,
        "meta_batch": 2,
        "context": 8,
        "batch": 8,
    },
    "scratch": {"episodes": 2, "tuning_epochs": 1, "hidden": (8,)},
    "finetune": {**PPO, "episodes": 2, "tuning_epochs": 1},
    "finetune-climb": {**PPO, "trials": 3},
    "randomized": PPO,
    "oracle": PPO,
    "oracle-in-range": PPO,
    "random": {},
}
"""Config fields that make an agent's iteration and its adaptation cheap."""
