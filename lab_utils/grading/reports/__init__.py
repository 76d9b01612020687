"""Pages of a batch: one for each student, one with all grades, one with the item analysis."""

from lab_utils.grading.reports.pages import write_reports

__all__ = ["write_reports"]
