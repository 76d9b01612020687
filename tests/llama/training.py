"""The small Llama for tests. Who wants it first trains it; that time is not counted against the test."""

from __future__ import annotations

import signal
from pathlib import Path

LIMIT_S = 900
"""Half a minute on a quiet machine, several minutes on one that others load."""


def trained() -> Path:
    """The folder of the small Llama, trained when no worker of this run has done so yet.

    The time limit of the test that asks (pytest-timeout, by signal) stands still meanwhile.
    """
    from lab_utils.llama import small_llama

    left, _ = signal.getitimer(signal.ITIMER_REAL)
    if not left:  # there is no limit
        return small_llama()
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        return small_llama()
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
