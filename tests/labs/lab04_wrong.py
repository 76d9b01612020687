"""Plausible wrong answers to the exercises of Lab 4, each with words that its verdict must hold.

The code replaces one or more answers of the complete notebook; all other names stay as they are there.
"""

from __future__ import annotations

from tests.labs.lab04_wrong_alert import ALERT
from tests.labs.lab04_wrong_budget import BUDGET
from tests.labs.lab04_wrong_capacity import CAPACITY
from tests.labs.lab04_wrong_failures import FAILURES
from tests.labs.lab04_wrong_incident import EQUIVALENT_INCIDENT, INCIDENT
from tests.labs.lab04_wrong_kiosks import BOTTLENECK, MEND
from tests.labs.lab04_wrong_loops import LOOPS
from tests.labs.lab04_wrong_page import INCREASE, PAGE
from tests.labs.lab04_wrong_promql import PROMQL
from tests.labs.lab04_wrong_tokens import LITTLE, TOKENS
from tests.labs.lab04_wrong_traces import TRACES
from tests.proofs.kit.wrong import WrongAnswer

WRONG: dict[str, list[WrongAnswer]] = {
    "4.1": PAGE,
    "4.2": INCREASE,
    "4.3": PROMQL,
    "4.4": TOKENS,
    "4.5": LITTLE,
    "4.6": BOTTLENECK,
    "4.7": MEND,
    "4.8": LOOPS,
    "4.9": CAPACITY,
    "4.10": FAILURES,
    "4.11": ALERT,
    "4.12": BUDGET,
    "4.13": TRACES,
    "4.14": INCIDENT,
}

EQUIVALENT_MUTANTS: dict[str, str] = {**EQUIVALENT_INCIDENT}
