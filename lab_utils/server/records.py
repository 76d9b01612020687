"""Records of our own servers: how a second kernel or the command line finds a running server.

One JSON file per server name in `state_home()/servers`, private to the user. It names processes by
id *and* start time, so a stale file or a reused process id is never taken for a running server.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from lab_utils import paths
from lab_utils.keeper.identity import ProcessId, boot_id, kill_all, marked, regions, remove_regions
from lab_utils.server.base import Endpoints, Lifetime, ServerError

_REGION = re.compile(r"tl([0-9a-f]{12})")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,60}")


@dataclass(frozen=True)
class Ended:
    """How a server ended: time (s since 1970), exit code or signal, and the reason if we know it."""

    at: float
    code: int | None
    signal: int | None
    reason: str

    def __str__(self) -> str:
        if self.reason:
            return self.reason
        if self.signal is not None:
            name = signal.Signals(self.signal).name
            meaning = {"SIGKILL": "killed from outside, or out of memory", "SIGSEGV": "it crashed",
                       "SIGABRT": "it gave up on an internal error"}  # fmt: skip
            return f"ended by signal {self.signal} ({name}: {meaning.get(name, 'sent by another process')})"
        if self.code == 0:
            return "ended in order (exit code 0), as after SIGTERM"
        return f"ended by itself with exit code {self.code}"


@dataclass(frozen=True)
class Record:
    """What is written down about one server of ours.

    Attributes:
        id: Unique id, also in the environment of its processes and in its shared-memory prefix.
        keeper: The process that keeps it. None for containers.
        server: The tritonserver process. None for containers.
        ended: How it ended, when it ended by itself; a server that was stopped has no record.
        extra: The process that started it, its command line as everybody may see it, and the key of a server
            that is closed to other users (`lab_utils.server.keys`).
    """

    id: str
    name: str
    runtime: str
    repository: Path
    options: tuple[str, ...]
    endpoints: Endpoints
    lifetime: Lifetime
    log: Path
    created: float
    boot_id: str = ""
    keeper: ProcessId | None = None
    server: ProcessId | None = None
    ended: Ended | None = None
    extra: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def shm_prefix(self) -> str:
        """The prefix of its regions in `/dev/shm`."""
        return f"tl{self.id}"

    def alive(self) -> bool:
        """True while its own server process runs."""
        same_boot = self.boot_id == boot_id()
        return same_boot and self.ended is None and self.server is not None and self.server.alive()

    def as_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {
            "id": self.id, "name": self.name, "runtime": self.runtime, "repository": str(self.repository),
            "options": list(self.options), "endpoints": self.endpoints.as_dict(),
            "lifetime": self.lifetime.value, "log": str(self.log), "created": self.created,
            "boot_id": self.boot_id,
            "keeper": vars(self.keeper) if self.keeper else None,
            "server": vars(self.server) if self.server else None,
            "ended": vars(self.ended) if self.ended else None, "extra": self.extra,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Record:
        """The opposite of `as_dict`. Raises KeyError, TypeError or ValueError when it is not a record."""
        keeper, server, ended = (data.get(k) for k in ("keeper", "server", "ended"))
        return cls(
            id=data["id"], name=data["name"], runtime=data["runtime"], repository=Path(data["repository"]),
            options=tuple(data["options"]), endpoints=Endpoints(**data["endpoints"]),
            lifetime=Lifetime(data["lifetime"]), log=Path(data["log"]), created=float(data["created"]),
            boot_id=data.get("boot_id", ""),
            keeper=ProcessId(**keeper) if keeper else None, server=ProcessId(**server) if server else None,
            ended=Ended(**ended) if ended else None, extra=dict(data.get("extra", {})),
        )  # fmt: skip


def folder() -> Path:
    """The folder of the records, made on the first call, readable by this user alone."""
    place = paths.state_home() / "servers"
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    return place


def check_name(name: str) -> str:
    """The name, if it can be one: lower-case letters, digits, dot, dash, underscore."""
    if not _NAME.fullmatch(name):
        raise ServerError(
            f"`{name}` cannot be the name of a server.",
            why="A name is made of lower-case letters, digits, dots, dashes and underscores (61 at most).",
            fix=f"Try `{re.sub(r'[^a-z0-9._-]+', '-', name.lower()).strip('-._') or 'lab01'}`.",
        )
    return name


def path_of(name: str) -> Path:
    """The file of a server's record."""
    return folder() / f"{check_name(name)}.json"


def lock(name: str) -> FileLock:
    """The lock to hold while a server of this name is started or stopped."""
    return FileLock(folder() / f"{check_name(name)}.lock", timeout=120)


def read(name: str) -> Record | None:
    """The record of a server, also of one that ended by itself. None when there is none."""
    return _read(path_of(name))


def _read(path: Path) -> Record | None:
    try:
        if path.stat().st_uid != os.getuid():
            return None  # somebody else's file: not a server of ours
        return Record.from_dict(json.loads(path.read_text()))
    except (OSError, AttributeError, KeyError, TypeError, ValueError):
        return None


def all_records() -> list[Record]:
    """All records of this user, ended servers included."""
    return [r for r in map(_read, sorted(folder().glob("*.json"))) if r]


def forget(record: Record) -> None:
    """Remove a record, unless a newer server of the same name has taken its place."""
    path = path_of(record.name)
    current = _read(path)
    if current is None or current.id == record.id:
        path.unlink(missing_ok=True)


def remains(record: Record) -> list[str]:
    """What a server that no longer runs has left behind, in words."""
    if record.alive():
        return []
    left = [f"process {p.pid} of server `{record.name}`" for p in marked(record.id)]
    return left + [f"shared-memory region {r} of server `{record.name}`" for r in regions(record.shm_prefix)]


def orphan_regions() -> list[Path]:
    """Regions of this user's servers that no process belongs to any more, whatever folder knew them.

    A server whose state folder was deleted has no record. Its regions still bear its id in their
    names, and the processes of a running server bear the id in their environment. Regions younger
    than a minute are left alone: their server may be starting.
    """
    by_id: dict[str, list[Path]] = {}
    for path in regions("tl"):
        match = _REGION.match(path.name)
        try:
            status = path.stat()
        except OSError:
            continue
        if match and status.st_uid == os.getuid() and time.time() - status.st_ctime > 60:
            by_id.setdefault(match[1], []).append(path)
    return [path for server_id, paths in by_id.items() if not marked(server_id) for path in paths]


def clean(record: Record) -> None:
    """End every process that carries this server's marker and remove its shared-memory regions."""
    own = os.getpid()
    kill_all(p for p in marked(record.id) if p.pid != own)
    remove_regions(record.shm_prefix)
