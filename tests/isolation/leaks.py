"""What a server holds in the system: counted before and after, to find what it never gives back."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from lab_utils import server as triton
from lab_utils.keeper.identity import MARKER
from lab_utils.server.base import Server

_MIB = 2**20


@dataclass(frozen=True)
class Held:
    """One moment.

    Attributes:
        processes: Processes with this server's mark in their environment: its keeper, tritonserver, the stubs
            of the models, and what these started, also when its parent is gone.
        handles: Open file handles of tritonserver.
        regions: Regions in /dev/shm with this server's prefix.
        threads: Threads of tritonserver.
        rss_mib: Resident memory of tritonserver alone, MiB.
    """

    processes: int
    handles: int
    regions: int
    threads: int
    rss_mib: float

    @classmethod
    def now(cls, server: Server) -> Held:
        """Count."""
        process, record = psutil.Process(server.pid), triton.record(server.name)
        assert record is not None
        return cls(
            processes=sum(_marked(p, record.id) for p in psutil.process_iter()),
            handles=process.num_fds(),
            regions=sum(p.name.startswith(f"tl{record.id}") for p in Path("/dev/shm").iterdir()),
            threads=process.num_threads(),
            rss_mib=round(process.memory_info().rss / _MIB, 1),
        )

    def more(self, before: Held) -> dict[str, float]:
        """What there is more of now than before; memory is left out, because no allocator gives all back."""
        old = asdict(before)
        return {k: v - old[k] for k, v in asdict(self).items() if k != "rss_mib" and v > old[k]}


def _marked(process: psutil.Process, server_id: str) -> bool:
    try:
        return process.environ().get(MARKER) == server_id and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):  # another user's, or it has just ended
        return False


def settled(server: Server, before: Held, seconds: float = 20.0) -> Held:
    """Count until nothing is more than before, at most `seconds`: Triton unloads in the background."""
    end = time.monotonic() + seconds
    while True:
        now = Held.now(server)
        if not now.more(before) or time.monotonic() > end:
            return now
        time.sleep(0.2)
