"""How agents learn: their contract, policies, estimators and training loop."""
