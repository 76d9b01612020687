"""The process beside a kernel-lifetime container, which removes it when the starting process ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping

from lab_utils import paths
from lab_utils.keeper.identity import ProcessId
from lab_utils.server.docker_engine import LABEL, engine_address

_watchers: dict[str, subprocess.Popen[bytes]] = {}
_WATCHER_CODE = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from lab_utils.keeper.container import main
sys.exit(main())
"""


def this_process() -> str:
    """This process as it stands in labels: process id and start time."""
    me = ProcessId.of(os.getpid())
    assert me is not None, "this process runs"
    return f"{me.pid}:{me.started}"


def _process(text: str | None) -> ProcessId | None:
    pid, _, started = (text or "").partition(":")
    return ProcessId(int(pid), int(started)) if pid.isdigit() and started.isdigit() else None


def orphaned(labels: Mapping[str, str]) -> bool:
    """True for a container that should have ended with a process that is gone."""
    owner = _process(labels.get(f"{LABEL}.owner"))
    return labels.get(f"{LABEL}.lifetime") == "kernel" and (owner is None or not owner.alive())


def spawn_watcher(launch_id: str) -> str:
    """Start the process that removes the container of a launch when this process ends.

    Args:
        launch_id: Value of the container's launch label.

    Returns:
        Who it is, for a label: any process can end it when the container is stopped in order.
    """
    owner, label = this_process().split(":"), f"{LABEL}.launch={launch_id}"
    process = subprocess.Popen(
        # -P: lab_utils/server/docker.py must never be taken for the SDK of the same name.
        [sys.executable, "-P", "-c", _WATCHER_CODE, str(paths.project_root()), *owner, label],
        env={**os.environ, "DOCKER_HOST": engine_address()},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    _watchers[launch_id] = process
    watcher = ProcessId.of(process.pid)
    return f"{watcher.pid}:{watcher.started}" if watcher else ""


def end_watcher(launch_id: str, watcher: str | None) -> None:
    """End the watcher of a launch; collect it when it is a child of this process."""
    process = _watchers.pop(launch_id, None)
    if process:
        process.terminate()
        process.wait(5)
    elif known := _process(watcher):
        known.send(signal.SIGTERM)
