"""On the robot: an agent that adapts there, without a simulator."""
