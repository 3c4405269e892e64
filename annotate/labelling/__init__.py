"""Label a benchmark, or read its recorded answers again."""
