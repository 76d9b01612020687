"""Servers of the labs that the stack's Prometheus reads: each has one small file in a folder that it watches.

A container of the docker runtime joins the stack's network and is read there by its name. An embedded server
is read when it runs inside the stack's JupyterLab; on this machine itself it listens on loopback, where no
container comes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Any

from lab_utils.files import write_text
from lab_utils.server import ports
from lab_utils.server.docker_engine import LABEL, api_errors
from lab_utils.stack import state

VARIABLE = "TRITON_LAB_STACK_TARGETS"
"""Inside the stack's JupyterLab: the folder of the targets. Unset elsewhere."""
INSIDE = "jupyter"
"""The name of that container on the stack's network."""


def join(client: Any, container: Any, *, launch: str, name: str, port: int) -> bool:
    """Let the stack's Prometheus read a container of the labs. Does nothing when no stack runs.

    Args:
        client: The engine.
        container: The container, running.
        launch: The id of its start.
        name: The server's name, for the label `server`.
        port: Its metrics port inside the container.

    Returns:
        True when it is read from now on.
    """
    stack = state.read()
    if stack is None or "prometheus" not in stack.images:
        return False
    try:
        client.networks.get(stack.network).connect(container)
    except api_errors():
        return False  # the stack was removed by other hands: the lab's server does not need it
    _write(state.targets_folder(), launch, f"{container.name}:{port}", name)
    return True


def announce(launch: str, name: str, port: int) -> bool:
    """Let the stack's Prometheus read an embedded server inside the stack's JupyterLab.

    Args:
        launch: The id of its start.
        name: The server's name, for the label `server`.
        port: Its metrics port.

    Returns:
        True when it is read from now on; False outside the stack.
    """
    folder = os.environ.get(VARIABLE)
    if not folder or not Path(folder).is_dir():
        return False
    try:
        for file in Path(folder).glob("*.json"):  # of servers that ended with their kernel
            found = re.search(rf'"{INSIDE}:(\d+)"', file.read_text(errors="replace"))
            if found and not ports.listening(int(found[1])):
                file.unlink(missing_ok=True)
        _write(Path(folder), launch, f"{INSIDE}:{port}", name)
    except OSError:
        return False
    return True


def inside() -> bool:
    """Whether this process runs in the stack's JupyterLab, where Prometheus can read an embedded server."""
    return bool(os.environ.get(VARIABLE))


def leave(launch: str) -> None:
    """Prometheus reads a server no more: it has ended."""
    for folder in (state.targets_folder(), Path(os.environ.get(VARIABLE) or state.targets_folder())):
        with contextlib.suppress(OSError):
            (folder / f"{launch}.json").unlink(missing_ok=True)


def prune(client: Any) -> None:
    """Forget servers whose containers are gone: else Prometheus would call them down for ever."""
    try:
        there = {
            container.labels.get(f"{LABEL}.launch")
            for container in client.containers.list(filters={"label": f"{LABEL}.launch"}, ignore_removed=True)
        }
    except api_errors():
        return
    for file in state.targets_folder().glob("*.json"):
        embedded = f'"{INSIDE}:' in file.read_text(errors="replace")
        if file.stem not in there and not embedded:
            file.unlink(missing_ok=True)


def _write(folder: Path, launch: str, address: str, name: str) -> None:
    target = [{"targets": [address], "labels": {"server": name}}]
    file = folder / f"{launch}.json"
    write_text(file, json.dumps(target) + "\n")
    file.chmod(0o644)  # Prometheus runs as another user
