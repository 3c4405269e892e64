"""How well attributions agree with gold words."""
