"""Who a process is, so that no other process is ever taken for it. Standard library only.

A process id alone is not enough: the kernel gives it to the next process. The start time (in
clock ticks since boot, field 22 of `/proc/PID/stat`, proc(5)) together with the boot id of the
machine makes it unique.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MARKER = "TRITON_LAB_SERVER_ID"
"""Environment variable that a server and all its children carry: it tells ours from others."""


def boot_id() -> str:
    """The id of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_time(pid: int) -> int | None:
    """Start time of a running process in clock ticks since boot; None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The command name stands in parentheses and may itself hold spaces and parentheses.
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else int(fields[19])


@dataclass(frozen=True)
class ProcessId:
    """A process: its id and its start time in clock ticks since boot."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The identity of a running process, or None when there is none."""
        started = start_time(pid)
        return None if started is None else cls(pid, started)

    def alive(self) -> bool:
        """True while this very process runs (a zombie or a newer process of the same id does not count)."""
        return start_time(self.pid) == self.started

    def send(self, signal_number: int) -> bool:
        """Send a signal to this very process. False when it is gone."""
        if not self.alive():
            return False
        try:
            os.kill(self.pid, signal_number)
        except ProcessLookupError:
            return False
        return True


def marked(server_id: str) -> list[ProcessId]:
    """All running processes of this user that carry a server's marker in their environment."""
    wanted = f"{MARKER}={server_id}".encode()
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            environment = Path(entry.path, "environ").read_bytes()
        except OSError:
            continue  # another user's process, or gone
        if wanted in environment.split(b"\0"):
            process = ProcessId.of(int(entry.name))
            if process:
                found.append(process)
    return found


def kill_all(processes: Iterable[ProcessId], wait: float = 3.0) -> list[ProcessId]:
    """SIGKILL every one of these processes; returns those that still run after `wait` seconds."""
    targets = list(processes)
    for process in targets:
        process.send(signal.SIGKILL)
    end = time.monotonic() + wait
    while (left := [p for p in targets if p.alive()]) and time.monotonic() < end:
        time.sleep(0.02)
    return left


def regions(prefix: str) -> list[Path]:
    """Shared-memory regions whose name begins with a server's own prefix."""
    folder = Path("/dev/shm")
    return sorted(folder.glob(f"{prefix}*")) if prefix and folder.is_dir() else []


def remove_regions(prefix: str) -> int:
    """Remove a server's shared-memory regions; returns how many there were."""
    count = 0
    for region in regions(prefix):
        region.unlink(missing_ok=True)
        count += 1
    return count
