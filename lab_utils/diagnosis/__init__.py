"""Why Triton refused a model: from its own words to the cause, the mend, and the place in a file."""

from lab_utils.diagnosis.explain import NO_CAUSE, Explanation, explain_log, explain_message
from lab_utils.diagnosis.log import Entry, read_log
from lab_utils.diagnosis.rule import Match, Rule
from lab_utils.diagnosis.table import FAMILIES, RULES, best_match

__all__ = [
    "FAMILIES",
    "NO_CAUSE",
    "RULES",
    "Entry",
    "Explanation",
    "Match",
    "Rule",
    "best_match",
    "explain_log",
    "explain_message",
    "read_log",
]
