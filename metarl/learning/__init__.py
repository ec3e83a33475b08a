"""What agents are made of: their contract, networks, estimators, sampling."""
