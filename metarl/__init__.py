"""Meta-reinforcement learning on robots of unknown physics."""
__version__ = "0.1.0"
