"""Wait for a server on this machine, or for one of its models, and say why the wait is in vain."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from lab_utils.server import diagnosis, probe
from lab_utils.server.base import Endpoints, ServerError

_PAUSE = 0.05


class Watched(Protocol):
    """What the wait needs of a server whose log can be read: embedded or in a container."""

    name: str

    @property
    def endpoints(self) -> Endpoints:
        """Its three addresses."""
        ...

    @property
    def log_path(self) -> Path:
        """The file that holds its log."""
        ...

    def alive(self) -> bool:
        """True while its process is there."""
        ...

    def logs(self, tail: int | None = None) -> str:
        """Its log."""
        ...


def until_ready(server: Watched, model: str | None, timeout: float, ended: Callable[[], ServerError]) -> None:
    """Return when the server is live or, with a name, when that model is ready.

    Args:
        server: The server.
        model: A model's name, or None for the server itself.
        timeout: Limit in seconds.
        ended: Makes the error for a server that is gone.

    Raises:
        ServerError: The server ended, the model failed to load (with the decisive line), or time is up.
    """
    end = time.monotonic() + timeout
    while True:
        if not server.alive():
            raise ended()
        if model is None and probe.live(server.endpoints):
            return
        if model is not None:
            if probe.model_ready(server.endpoints, model):
                return
            failure = diagnosis.load_failure(server.endpoints, model, server.logs())
            if failure:
                raise failure
        if time.monotonic() > end:
            raise _late(server, model, timeout)
        time.sleep(_PAUSE)


def _late(server: Watched, model: str | None, seconds: float) -> ServerError:
    target = f"The model `{model}`" if model else f"The server `{server.name}`"
    return ServerError(
        f"{target} was not ready within {seconds:.0f} seconds.",
        why="It is still loading, or it hangs.",
        fix=f"Read the log: `triton-lab logs {server.name}`.",
        details=diagnosis.excerpt(server.logs(), server.log_path),
    )
