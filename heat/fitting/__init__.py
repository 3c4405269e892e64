"""What is learned once for a model from its own answers, and stored."""
