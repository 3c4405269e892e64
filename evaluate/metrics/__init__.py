"""What makes an attribution good: pure functions of scores and of what a model said, one module a family."""
