"""What a run, a model or a method will cost, before it is paid for."""
