"""What an attribution costs in passes, time and memory, before anything is loaded."""
