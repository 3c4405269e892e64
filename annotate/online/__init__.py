"""Ask a chat completions API: many attempts at once, bounded, retried and paid for."""

DEFAULT_URL = "https://api.openai.com/v1"
"""Address of OpenAI's own API, which is asked where no other is named."""
