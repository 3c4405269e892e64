"""A results folder read back, and two of them side by side."""

from evaluate.results.folder import Results, open_results, read_scores

__all__ = ["Results", "open_results", "read_scores"]
