"""How much one submitted notebook may take, and the limits that the system itself enforces."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

GIB = 1 << 30
MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Limits of one run. The defaults leave every lab twice what it needs.

    Attributes:
        cell_seconds: Wall-clock time of one cell.
        seconds: Wall-clock time of the notebook.
        memory: Bytes of all processes together. One process may ask for twice as much, and never use it.
        processes: Processes at once; the labs have up to fifty.
        threads: Threads of all of them, where the system stops. A server has some eighty, and more on
            many cores; the labs have up to 1500 on two.
        disk: Bytes in each of the run's own folders: its home, /tmp, /dev/shm. They lie in memory in a
            sandbox, and count on their own.
        output: Bytes that a notebook with its outputs may have.
        start_seconds: Time until the run reports for the first time.
    """

    cell_seconds: float = 300.0
    seconds: float = 1800.0
    memory: int = 6 * GIB
    processes: int = 250
    threads: int = 4000 + 64 * (os.cpu_count() or 1)
    disk: int = GIB
    output: int = 32 * MIB
    start_seconds: float = 120.0

    @classmethod
    def of(cls, asked: Any) -> Self:
        """The limits that a plan asks for, with the defaults where it asks for none.

        Args:
            asked: Has `minutes`, `cell_minutes`, `memory_gib`, `processes`, `threads` and `disk_gib`, each
                a number or None (`lab_utils.grading.plan.RunLimits`).
        """
        given = {
            "seconds": _times(asked.minutes, 60),
            "cell_seconds": _times(asked.cell_minutes, 60),
            "memory": _times(asked.memory_gib, GIB),
            "processes": asked.processes,
            "threads": asked.threads,
            "disk": _times(asked.disk_gib, GIB),
        }
        whole = {"memory", "processes", "threads", "disk"}
        return cls(**{k: int(v) if k in whole else v for k, v in given.items() if v is not None})

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """The limits of `as_dict`."""
        return cls(**raw)

    def as_dict(self) -> dict[str, Any]:
        """The limits as JSON values."""
        return dataclasses.asdict(self)

    @property
    def last_second(self) -> float:
        """When a run is ended from outside, s: it should have ended itself some time before."""
        return self.start_seconds + self.seconds + 60.0


def _times(value: float | None, unit: float) -> float | None:
    return None if value is None else value * unit


def set_own(limits: Limits) -> None:
    """Set the limits of this process and of all that it starts. They can never be raised again.

    `RLIMIT_DATA` bounds what one process can allocate, at the moment when it asks. `RLIMIT_AS` would
    bound addresses, and PyTorch and Triton reserve many times of what they use. `RLIMIT_NPROC`
    counts the threads of a user: inside a sandbox that is this run alone.
    """
    for kind, value in (
        (resource.RLIMIT_DATA, 2 * limits.memory),  # also counts stacks that threads hardly use
        (resource.RLIMIT_FSIZE, limits.disk),
        (resource.RLIMIT_CORE, 0),
    ):
        _lower(kind, value)


def set_processes(limits: Limits) -> None:
    """Bound the threads of this user; only right where the user is this run's own."""
    _lower(resource.RLIMIT_NPROC, limits.threads)


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    most = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(kind, (most, most))
