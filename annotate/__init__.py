"""Build the benchmark and its gold labels: paragraphs, annotators, agreement. Needs no model."""
