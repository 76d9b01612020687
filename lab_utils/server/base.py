"""What every way of running Triton has in common: the `Server` protocol and its small types."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

from lab_utils.errors import LabError


class ServerError(LabError):
    """A server could not be started, found, watched or stopped."""


class Lifetime(StrEnum):
    """How long a server lives.

    `SESSION` survives a kernel restart and is found again by its record; `triton-lab stop`,
    the clean-up cell, or hours without a request end it. `KERNEL` dies with the process that
    started it, also when that process is killed with SIGKILL.
    """

    SESSION = "session"
    KERNEL = "kernel"


@dataclass(frozen=True)
class Endpoints:
    """The three addresses of a Triton, each as `host:port`."""

    http: str
    grpc: str
    metrics: str

    @property
    def http_url(self) -> str:
        """The HTTP address with its scheme, for curl and httpx."""
        return f"http://{self.http}"

    @property
    def metrics_url(self) -> str:
        """The address that Prometheus scrapes."""
        return f"http://{self.metrics}/metrics"

    def as_dict(self) -> dict[str, str]:
        """The three addresses by name."""
        return asdict(self)


@runtime_checkable
class Server(Protocol):
    """A Triton that runs somewhere: embedded, in a container, or remote."""

    @property
    def name(self) -> str:
        """Its name among this user's servers."""
        ...

    @property
    def runtime(self) -> str:
        """`embedded`, `docker` or `remote`."""
        ...

    @property
    def endpoints(self) -> Endpoints:
        """Its three addresses."""
        ...

    @property
    def headers(self) -> dict[str, str]:
        """Headers that open the APIs which are closed where users share a machine; empty elsewhere."""
        ...

    @property
    def repository(self) -> Path | None:
        """Its model repository on this machine; None for a remote server."""
        ...

    @property
    def pid(self) -> int | None:
        """Its process id on this machine; None for a remote server."""
        ...

    def start(self) -> Server:
        """Start it and return when it answers. Raises `ServerError` with the decisive log lines."""
        ...

    def stop(self, timeout: float = 15.0) -> None:
        """Drain, then kill. Leaves no process, stub, shared-memory region or container behind."""
        ...

    def wait_ready(self, model: str | None = None, timeout: float = 30.0) -> None:
        """Wait until the server is live or, with a name, until that model is ready."""
        ...

    def logs(self, tail: int | None = None) -> str:
        """The server's log, whole or its last `tail` lines."""
        ...

    def alive(self) -> bool:
        """True while the server's own process (container, remote service) is there."""
        ...
