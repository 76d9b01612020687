"""The Python processes (stubs) behind python-based models, and the fault that Triton does not report.

When a stub dies, Triton keeps saying that server and model are ready, answers every request for the
model with an error, and never starts the stub again. So count them.
"""

from __future__ import annotations

from pathlib import Path

import httpx
import psutil

from lab_utils.server import probe
from lab_utils.server.base import Server

_STUB = "triton_python_backend_stub"


def stub_models(server_pid: int) -> list[tuple[int, Path]]:
    """The running stubs of a server (ended and stopped ones do not count): process id and model file."""
    found = []
    try:
        children = psutil.Process(server_pid).children(recursive=True)
    except psutil.Error:
        return []
    for child in children:
        try:
            command = child.cmdline()
            dead = child.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_STOPPED)
        except psutil.Error:
            continue
        if not dead and len(command) > 1 and Path(command[0]).name == _STUB:
            found.append((child.pid, Path(command[1])))
    return found


def stub_faults(server: Server) -> list[str]:
    """Models that are reported READY although their Python process is gone. Empty when all is well.

    Works for the embedded server, whose processes can be seen from here; empty for the others.
    """
    if server.runtime != "embedded" or server.pid is None or not server.alive():
        return []
    try:
        ready = [e for e in probe.repository_index(server.endpoints) if e.get("state") == "READY"]
        stubs = [path for _, path in stub_models(server.pid)]
        faults = []
        for entry in ready:
            config = probe.model_config(server.endpoints, entry["name"])
            if config.get("runtime") != "model.py" and config.get("backend") != "python":
                continue
            wanted = sum(group.get("count", 1) for group in config.get("instance_group", [])) or 1
            running = sum(_belongs(path, entry["name"], entry["version"]) for path in stubs)
            if running < wanted:
                faults.append(
                    f"model `{entry['name']}` (version {entry['version']}): {wanted - running} of {wanted} "
                    "Python processes (stubs) are gone or stopped; Triton still says READY and never starts "
                    "them again"
                )
    except httpx.HTTPError:
        return []
    return faults


def _belongs(path: Path, model: str, version: str) -> bool:
    """A stub's model file is REPOSITORY/MODEL/VERSION/FILE, or BACKENDS/NAME/model.py."""
    return path.parent.name == version and path.parent.parent.name == model
