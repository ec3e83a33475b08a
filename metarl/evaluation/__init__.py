"""How fast did it adapt: the protocol, its results and their statistics."""
