"""Faithfulness: put a context to the model again with tokens taken away, and see whether the scores foresaw it."""
