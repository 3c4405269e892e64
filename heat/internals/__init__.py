"""The model from inside: as a function of its embeddings, its attention, and giving it back as it was."""
