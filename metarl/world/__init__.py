"""Tasks in, episodes out."""
