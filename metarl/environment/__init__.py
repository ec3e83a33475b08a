"""States in, episodes out: families, the environment, and its adapters."""
