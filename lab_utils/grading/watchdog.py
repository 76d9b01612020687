"""Count what a run takes, from outside, and say when it is too much."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab_utils.grading.limits import GIB, MIB, Limits
from lab_utils.grading.results import Cause

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """What a run takes at one moment.

    Attributes:
        processes: Processes.
        threads: Their threads, which count as much as processes do.
        memory: Bytes of all of them. What they share may be counted more than once.
        disk: Bytes written below the run's folder, where it has a real one.
    """

    processes: int = 0
    threads: int = 0
    memory: int = 0
    disk: int = 0

    def most(self, other: Usage) -> Usage:
        """The larger of each."""
        return Usage(*(max(a, b) for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))


@dataclass(frozen=True)
class Overrun:
    """A limit that was passed: why a run is ended."""

    cause: Cause
    reason: str


class Watchdog:
    """Watches one run, the process `pid` and all below it.

    Args:
        pid: The topmost process.
        limits: What the run may take.
        folder: A folder whose size counts; None where the system bounds it.

    Attributes:
        peak: The most that was seen.
    """

    def __init__(self, pid: int, limits: Limits, folder: Path | None = None) -> None:
        self.pid, self.limits, self.folder = pid, limits, folder
        self.peak = Usage()

    def look(self) -> Overrun | None:
        """Measure once; the limit that is passed, if one is."""
        pids = descendants(self.pid)
        threads, memory = 0, 0
        for pid in pids:
            count, resident = _of(pid)
            threads, memory = threads + count, memory + resident
        if memory > self.limits.memory:
            memory = sum(map(_proportional, pids))  # slower, but counts what is shared once
        usage = Usage(len(pids), threads, memory, _size(self.folder) if self.folder else 0)
        self.peak = self.peak.most(usage)
        return self._overrun(usage)

    def _overrun(self, usage: Usage) -> Overrun | None:
        limits = self.limits
        # The system stops at the limit of threads: whoever comes near it wanted more.
        if usage.processes > limits.processes or usage.threads >= 0.9 * limits.threads:
            text = f"more than {limits.processes} processes or {limits.threads} threads at once"
            return Overrun(Cause.PROCESSES, text)
        if usage.memory > limits.memory:
            return Overrun(Cause.MEMORY, f"more than {limits.memory / GIB:g} GiB of memory")
        if usage.disk > limits.disk:
            return disk_overrun(limits)
        return None

    def end(self, *, itself: bool = True) -> None:
        """Kill all below the process, again until none is left, and then, with `itself`, the process.

        The process comes last: while it is there, what loses its parent stays below it.
        """
        for _ in range(20):
            below = descendants(self.pid)[1:]
            for pid in below:
                _kill(pid)
            if not below:
                break
        if itself:
            _kill(self.pid)


def disk_overrun(limits: Limits) -> Overrun:
    """What is said when the folders of a run are full."""
    size = f"{limits.disk / GIB:g} GiB" if limits.disk >= GIB else f"{limits.disk / MIB:g} MiB"
    return Overrun(Cause.DISK, f"more than {size} of files")


def descendants(pid: int) -> list[int]:
    """A process and all below it, parents first. Zombies count: their entry is not free yet."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            parent = _parent(int(entry.name))
            if parent is not None:
                children[parent].append(int(entry.name))
    found = [pid] if Path(f"/proc/{pid}").exists() else []
    for one in found:
        found += children.get(one, [])
    return found


def _parent(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
        return int(text[text.rindex(b")") + 2 :].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _of(pid: int) -> tuple[int, int]:
    """Threads and resident bytes of a process; nothing where it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
        fields = text[text.rindex(b")") + 2 :].split()
        return int(fields[17]), int(fields[21]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0, 0


def _proportional(pid: int) -> int:
    """Bytes of a process, of shared pages its share; all of them where that may not be read."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return _of(pid)[1]


def _kill(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)


def _size(folder: Path) -> int:
    """Bytes of all files below a folder; links are not followed."""
    total = 0
    waiting = [str(folder)]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                total += _bytes_of(entry, waiting)
    return total


def _bytes_of(entry: os.DirEntry[str], waiting: list[str]) -> int:
    try:
        if entry.is_dir(follow_symlinks=False):
            waiting.append(entry.path)
            return 0
        return entry.stat(follow_symlinks=False).st_blocks * 512
    except OSError:
        return 0


def full_folders(folders: Iterable[Path]) -> list[Path]:
    """Those of these folders whose file system is full: each of them is bounded."""
    full = []
    for folder in folders:
        with contextlib.suppress(OSError):
            facts = os.statvfs(folder)
            if facts.f_bavail < max(1, facts.f_blocks // 200):
                full.append(folder)
    return full
