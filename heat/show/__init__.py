"""An attribution for people: in a terminal, a notebook, a page, a picture."""
