"""Where models come from: folders, adapters, GGUF files, and whether their weights are whole."""
