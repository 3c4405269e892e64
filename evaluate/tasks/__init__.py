"""What models are asked: one module a benchmark, each of which makes examples of its rows."""
