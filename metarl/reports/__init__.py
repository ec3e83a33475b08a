"""Pages about runs: plots, tables, reports."""
