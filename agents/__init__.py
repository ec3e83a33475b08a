"""Ways of learning to learn, one a file, and the baselines."""

if __name__ != "metarl.agents":
    raise ImportError("Import the agents as metarl.agents, not as agents.")


def plugin() -> dict[str, dict[str, str]]:
    """What this package registers: see `metarl.environment.registry`."""
    return {
        "agents": {
            "maml": "metarl.agents.maml:MAML",
            "fomaml": "metarl.agents.maml:FOMAML",
            "meta-sgd": "metarl.agents.meta_sgd:MetaSGD",
            "promp": "metarl.agents.promp:ProMP",
            "reptile": "metarl.agents.reptile:Reptile",
            "lstm-optimizer": "metarl.agents.lstm_optimizer:LSTMOptimizer",
            "es-maml": "metarl.agents.es_maml:ESMAML",
            "hill-climb": "metarl.agents.hill_climb:HillClimb",
            "rl2": "metarl.agents.rl2:RL2",
            "mann": "metarl.agents.mann:MANN",
            "varibad": "metarl.agents.varibad:VariBAD",
            "history": "metarl.agents.history:HistoryAgent",
            "rma": "metarl.agents.rma:RMA",
            "student": "metarl.agents.student:Student",
            "sysid": "metarl.agents.rma:SystemIdentification",
            "metanet": "metarl.agents.metanet:MetaNet",
            "siamese": "metarl.agents.metric:Siamese",
            "matching": "metarl.agents.metric:Matching",
            "relation": "metarl.agents.metric:Relation",
            "prototypical": "metarl.agents.metric:Prototypical",
            "pearl": "metarl.agents.pearl:PEARL",
            "scratch": "metarl.agents.scratch:Scratch",
            "finetune": "metarl.agents.finetune:Finetune",
            "finetune-climb": "metarl.agents.finetune:FinetuneClimb",
            "random": "metarl.agents.random:Random",
            "randomized": "metarl.agents.baselines:Randomized",
            "oracle": "metarl.agents.baselines:Oracle",
            "oracle-in-range": "metarl.agents.baselines:OracleInRange",
        }
    }
