"""Ways of learning to learn, one a file, and the baselines."""

if __name__ != "metarl.agents":
    raise ImportError("Import the agents as metarl.agents, not as agents.")


def plugin() -> dict[str, dict[str, str]]:
    """What this package registers: see `metarl.registry`."""
    return {
        "agents": {
            "maml": "metarl.agents.maml:MAML",
            "fomaml": "metarl.agents.maml:FOMAML",
            "randomized": "metarl.agents.baselines:Randomized",
            "oracle": "metarl.agents.baselines:Oracle",
        }
    }
