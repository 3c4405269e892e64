"""Join benchmark and attributions: word scores, metrics, intervals, report. Imports no model library."""

from evaluate.packages import check_packages

check_packages()
