"""Build paragraphs: narrative and support, mixed, screened, and described by a card."""
