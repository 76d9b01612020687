"""The remote runtime: a Triton that somebody else runs, known by its addresses."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from lab_utils.server import probe
from lab_utils.server.base import Endpoints, ServerError


class RemoteServer:
    """A server that this course neither starts nor stops.

    Args:
        endpoints: Its three addresses.
        writable: Whether models may be loaded and unloaded on it. Default no: others may use it.
    """

    runtime = "remote"
    pid: int | None = None
    repository: Path | None = None

    def __init__(
        self,
        name: str,
        endpoints: Endpoints,
        *,
        writable: bool = False,
        wait_for: Sequence[str] = (),
        timeout: float = 30.0,
    ) -> None:
        self.name = name
        self.endpoints = endpoints
        self.writable = writable
        self.headers: dict[str, str] = {}
        self.wait_for = tuple(wait_for)
        self.timeout = timeout

    @classmethod
    def from_settings(cls, name: str, *, wait_for: Sequence[str] = (), timeout: float = 30.0) -> RemoteServer:
        """The server of `TRITON_LAB_URL` (HTTP), `TRITON_LAB_GRPC_URL` and `TRITON_LAB_METRICS_URL`.

        The last two default to Triton's ports 8001 and 8002 on the host of the first.
        `TRITON_LAB_REMOTE_WRITABLE=1` allows to load and unload models.
        """
        url = os.environ.get("TRITON_LAB_URL", "")
        if not url:
            raise ServerError(
                "The remote runtime needs the address of a server.",
                why="TRITON_LAB_RUNTIME is `remote` and TRITON_LAB_URL is not set.",
                fix="Set it, for example `TRITON_LAB_URL=localhost:8000`.",
            )
        http = _host_port(url, "8000")
        host = http.rsplit(":", 1)[0]
        grpc = _host_port(os.environ.get("TRITON_LAB_GRPC_URL") or host, "8001")
        metrics = _host_port(os.environ.get("TRITON_LAB_METRICS_URL") or host, "8002")
        writable = os.environ.get("TRITON_LAB_REMOTE_WRITABLE", "") == "1"
        return cls(
            name, Endpoints(http, grpc, metrics), writable=writable, wait_for=wait_for, timeout=timeout
        )

    def start(self) -> RemoteServer:
        """Make sure that it answers. Nothing is started.

        Raises:
            ServerError: Nobody answers at the address, or it is not a Triton.
        """
        self.wait_ready(timeout=min(self.timeout, 10.0))
        for model in self.wait_for:
            self.wait_ready(model, self.timeout)
        return self

    def stop(self, timeout: float = 15.0) -> None:
        """Nothing: a server that others run is never stopped from here."""

    def alive(self) -> bool:
        """True while it answers."""
        return probe.live(self.endpoints)

    def wait_ready(self, model: str | None = None, timeout: float = 30.0) -> None:
        """Wait until it is live or, with a name, until that model is ready."""
        end = time.monotonic() + timeout
        while True:
            if model is None and probe.live(self.endpoints):
                return
            if model is not None and probe.model_ready(self.endpoints, model):
                return
            if time.monotonic() > end:
                break
            time.sleep(0.2)
        if model is None or not probe.live(self.endpoints):
            raise ServerError(
                f"No Triton answers at {self.endpoints.http_url}.",
                why="The address is wrong, the server is down, or a firewall stands between.",
                fix=f"Try `curl -i {self.endpoints.http_url}/v2/health/live`, and check TRITON_LAB_URL.",
            )
        raise ServerError(
            f"The model `{model}` is not ready on {self.endpoints.http_url}.",
            why="The remote server does not hold it, or could not load it.",
            fix="Ask the person who runs the server: only its log says why.",
        )

    def logs(self, tail: int | None = None) -> str:
        """Not to be had: raises `ServerError`."""
        raise ServerError(
            "The log of a remote server cannot be read from here.",
            why="Triton offers no log over the network.",
            fix="Ask the person who runs the server.",
        )


def _host_port(address: str, port: str) -> str:
    bare = address.removeprefix("http://").removeprefix("https://").rstrip("/")
    return bare if ":" in bare else f"{bare}:{port}"
