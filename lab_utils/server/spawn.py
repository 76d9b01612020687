"""Start the keeper of an embedded server, and collect keepers that have ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace

from lab_utils import paths
from lab_utils.keeper.__main__ import write_atomic
from lab_utils.keeper.identity import MARKER, ProcessId, boot_id
from lab_utils.server import options, records
from lab_utils.server.base import Lifetime
from lab_utils.server.install import installation

# -I -S: the keeper needs the standard library alone; so it starts faster and stays small.
_KEEPER_CODE = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from lab_utils.keeper.__main__ import main
sys.exit(main())
"""
_keepers: dict[str, subprocess.Popen[bytes]] = {}


def spawn_keeper(
    record: records.Record, argv: list[str], *, exit_timeout: float, hidden: Mapping[int, str] | None = None
) -> None:
    """Start the keeper in a session of its own; it starts tritonserver and completes the record.

    Args:
        record: The record, still without processes.
        argv: The command line of tritonserver.
        exit_timeout: Seconds that the server takes to drain, unless its options say otherwise.
        hidden: Arguments that no other user may read, by the index of their stand-in in `argv`.
    """
    me = ProcessId.of(os.getpid())
    given = options.values(record.options, "exit-timeout-secs")
    kernel = record.lifetime is Lifetime.KERNEL
    hours = float(os.environ.get("TRITON_LAB_IDLE_HOURS") or 4)
    spec = {
        "id": record.id,
        "argv": argv,
        "hidden": list((hidden or {}).items()),
        "env": {**os.environ, **installation().environment(), MARKER: record.id},
        "log": str(record.log),
        "record": record.as_dict(),
        "record_path": str(records.path_of(record.name)),
        "shm_prefix": record.shm_prefix,
        "exit_timeout": float(given[-1]) if given else exit_timeout,
        "idle": 0 if kernel else hours * 3600,
        "metrics_url": record.endpoints.metrics_url,
        "parent": vars(me) if kernel and me else None,
    }
    _drop_unread_specs(record.name)
    spec_path = records.folder() / f"{record.name}.{record.id}.spec"
    spec_path.touch(mode=0o600)
    spec_path.write_text(json.dumps(spec))
    # From here on the server can be found and ended by its id, also when this process is killed now.
    write_atomic(records.path_of(record.name), replace(record, boot_id=boot_id()).as_dict())
    record.log.touch(mode=0o600)
    collect_keepers()
    with record.log.open("ab") as log:
        _keepers[record.id] = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _KEEPER_CODE, str(paths.project_root()), str(spec_path)],
            env={**os.environ, MARKER: record.id},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _drop_unread_specs(name: str) -> None:
    """Remove what a start or a keeper that was killed has left beside the record of this name."""
    for pattern in (f"{name}.????????????.spec", f"{name}.json.*.tmp"):
        for path in records.folder().glob(pattern):
            path.unlink(missing_ok=True)


def keeper_gone(server_id: str) -> bool:
    """True when this process started the keeper of that server and the keeper has ended."""
    keeper = _keepers.get(server_id)
    return keeper is not None and keeper.poll() is not None


def collect_keepers() -> None:
    """Reap ended keepers, so that they do not stay as zombies of a long-lived kernel."""
    for server_id in [k for k, keeper in _keepers.items() if keeper.poll() is not None]:
        del _keepers[server_id]
