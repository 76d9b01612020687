"""Facts about the stack in containers (`triton-lab up`): Docker Compose, and the ports that it holds."""

from __future__ import annotations

import os
from dataclasses import dataclass

_PROXIES = ("another process", "docker-proxy", "rootlesskit", "rootlessport")
"""What holds a container's port on this machine: a program of the engine, which only root can name."""
STACK = "your stack (`triton-lab down`)"


@dataclass(frozen=True)
class ComposeFacts:
    """Docker Compose.

    Attributes:
        found: Its words and version, for example `docker-compose 1.29.2`; None when there is none to use.
        problem: Why there is none; `mend` is the next step.
    """

    found: str | None = None
    problem: str = ""
    mend: str = ""


def collect_compose() -> ComposeFacts:
    """Look for the Compose that `triton-lab up` would use."""
    from lab_utils.errors import LabError
    from lab_utils.stack import compose

    try:
        program = compose.find((), os.environ)
    except LabError as error:
        return ComposeFacts(problem=f"{error.what} {error.why}".strip(), mend=error.fix)
    return ComposeFacts(f"{' '.join(program.program)} {program.version}")


def named_holder(port: int, holder: str) -> str:
    """Who holds a port: the stack, when it was started with this port and a proxy of the engine holds it.

    Args:
        port: A port of this machine that is taken.
        holder: The program that listens on it, in words.
    """
    from lab_utils.stack import state

    stack = state.read()
    if stack is None or not holder.startswith(_PROXIES):
        return holder
    ours = {address.rpartition(":")[2] for address in stack.urls.values()}
    return STACK if str(port) in ours else holder
