"""What attributions cost: seconds, passes and memory of every method beside one forward pass."""
