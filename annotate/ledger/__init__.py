"""What was asked and answered, and what follows from it without asking anybody."""
