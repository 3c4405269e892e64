"""The live page: ask a loaded model from the browser, see what it will cost, and look at the attributions."""
