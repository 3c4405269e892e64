"""Put examples to a model, attribute, score, average, compare and keep: what every evaluation shares."""
