"""A person looks at paragraphs and decides which words matter: the log of decisions, the queue, the page."""
