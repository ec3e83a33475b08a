"""Tasks in, states out: models of tasks, and many simulations at a time."""
