"""Models behind an endpoint: attribution by the log-probabilities that a server gives of a text's tokens."""
