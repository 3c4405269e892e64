"""Public sets of texts whose words people marked: their files, and what each person marked."""
