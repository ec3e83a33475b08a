"""How fast an agent adapts: the protocol, and the statistics over it."""
