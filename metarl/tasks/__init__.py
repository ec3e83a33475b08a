"""What can vary: parameters, tasks, spaces and splits, keyed randomness."""
