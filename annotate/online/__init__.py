"""Ask a chat completions API: many attempts at once, bounded, retried and paid for."""
