"""Videos, plots and reports of what a run did."""
