"""Process 1 of a sandbox inherits every process whose parent has ended, and must take their last word."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

_WAIT_SECONDS = 10.0
"""A child of ours that ended is awaited by whoever started it, well before this time is over."""


def start_reaper(every: float = 2.0) -> None:
    """Collect processes that ended some time ago and that nobody waits for."""
    threading.Thread(target=_reap_for_ever, args=(every,), name="reaper", daemon=True).start()


def _reap_for_ever(every: float) -> None:
    since: dict[int, float] = {}
    while True:
        time.sleep(every)
        since = reap(since, _WAIT_SECONDS)


def reap(since: dict[int, float], wait: float) -> dict[int, float]:
    """Collect the children that have been zombies for `wait` seconds.

    Args:
        since: When each zombie was first seen (monotonic clock).
        wait: Seconds.

    Returns:
        `since`, for the next call.
    """
    now = time.monotonic()
    seen = {pid: since.get(pid, now) for pid in _zombies()}
    for pid, first in seen.items():
        if now - first >= wait:
            with suppress(OSError):
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
    return seen


def _zombies() -> list[int]:
    """Children of this process that have ended."""
    mine, found = str(os.getpid()).encode(), []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError), Path(entry.path, "stat").open("rb") as file:
                fields = file.read().rpartition(b") ")[2].split()
                if fields[0] == b"Z" and fields[1] == mine:
                    found.append(int(entry.name))
    return found
