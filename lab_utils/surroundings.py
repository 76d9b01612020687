"""Where a lab runs: the notebook's IPython and its names, the environment, and how things are shown there."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from lab_utils.paths import project_root
from lab_utils.server import keys
from lab_utils.server.base import Server
from lab_utils.server.docker_settings import DEFAULT_IMAGE
from lab_utils.stack.state import triton_image

JUDGE_VARIABLE = "TRITON_LAB_JUDGE"
"""In a graded run: the environment variable that says where the judge listens (`lab_utils.grading.judge`)."""


def ipython_shell() -> Any:
    """The running IPython, or None in plain Python."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def prepare_environment() -> None:
    """For what the notebook's own cells run: `!triton-lab` is found, and no proxy gets loopback requests.

    Where several users share the machine, the cells' clients send the key of the lab's servers.
    """
    own = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    if own not in path:
        os.environ["PATH"] = os.pathsep.join([own, *path])
    for name in ("NO_PROXY", "no_proxy"):
        spared = [host for host in os.environ.get(name, "").split(",") if host]
        missing = [host for host in ("127.0.0.1", "localhost") if host not in spared]
        os.environ[name] = ",".join([*spared, *missing])
    if keys.shared_host():
        from lab_utils.server.key_clients import install

        install()


def caller_namespace() -> MutableMapping[str, Any]:
    """The notebook's own names; outside IPython the globals of the code that makes the lab."""
    shell = ipython_shell()
    if shell is not None:
        names: MutableMapping[str, Any] = shell.user_ns
        return names
    # 0 is this function, 1 is Lab.__init__, 2 is the one who made the lab.
    return sys._getframe(2).f_globals


def show(html: str, text: str) -> None:
    """Show HTML in a notebook, and the text elsewhere."""
    if ipython_shell() is None:
        print(text)
        return
    from IPython.display import display

    display({"text/html": html, "text/plain": text}, raw=True)


def about_runtime(runtime: str) -> str:
    """What a runtime is, in a few words; of a container its image."""
    # Not DockerSettings: a wrong setting is reported when a server starts, not when a lab is opened.
    image = os.environ.get("TRITON_LAB_IMAGE") or triton_image() or DEFAULT_IMAGE
    return {
        "embedded": "the real tritonserver as a child process, CPU",
        "docker": f"a container of {image}",
        "remote": "a Triton that somebody else runs",
    }[runtime]


def server_line(server: Server) -> str:
    """A server in one line: name, runtime, process, addresses; in a second one whether it is closed."""
    at = server.endpoints
    process = f", process {server.pid}" if server.pid else ""
    line = f"{server.name} ({server.runtime}{process}): http {at.http}, grpc {at.grpc}, metrics {at.metrics}"
    return f"{line}\n{keys.ABOUT}" if server.headers else line


def short_path(path: Any) -> str:
    """A path, relative to the project when it is inside."""
    try:
        return str(path.relative_to(project_root()))
    except ValueError:
        return str(path)
