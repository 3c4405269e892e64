"""The embedded reader: a small causal LM trained on the sample world, so that the default path means something."""
