"""How an annotator is asked for marks and how its answer is read: quotes, numbered words, or tags."""
