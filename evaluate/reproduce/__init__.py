"""The poster's tables beside what the same commands give here, whichever way they fall."""
