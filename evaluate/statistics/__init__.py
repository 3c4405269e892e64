"""How sure a figure is: intervals over unique texts, and tests of all pairs of methods."""
