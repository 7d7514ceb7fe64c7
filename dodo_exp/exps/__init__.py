"""Experiments: a run's record, the table of them."""
