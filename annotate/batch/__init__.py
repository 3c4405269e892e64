"""Ask through the Batch API: submit, and collect within a day."""
