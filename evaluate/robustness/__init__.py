"""Robustness: change the input a little, or how the answer is drawn, and see whether the scores change with it."""
