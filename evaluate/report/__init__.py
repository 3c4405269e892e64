"""The report on a finished run, or on two beside each other: one HTML file, and its figures and tables beside it."""

from evaluate.report.write import write_comparison, write_report

__all__ = ["write_comparison", "write_report"]
