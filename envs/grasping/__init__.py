"""Arms that push, grasp and place."""
