"""What is kept, and making it: run folders, checkpoints, training, evaluating."""
