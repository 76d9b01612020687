"""What the load generator asks a server besides inferences: metadata, config, statistics."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from lab_utils import web
from lab_utils.load.crew import LoadError

if TYPE_CHECKING:
    from lab_utils.server.base import Server

PHASES = ("queue", "compute_input", "compute_infer", "compute_output")


@dataclass(frozen=True)
class Counters:
    """A model's statistics at one moment, summed over its versions (Triton's statistics extension).

    Attributes:
        requests: Answered requests (`success`), those from the response cache included.
        failed: Requests that failed while they ran (`fail`). Refused ones are not in it.
        seconds: Seconds in each of `PHASES`, summed over requests.
        total: Seconds of all answered requests, from their arrival to the end of their answer.
        inferences: Rows that the model has worked on (`inference_count`).
        executions: Calls of the model (`execution_count`).
        batches: Calls of the model by batch size.
        cache_hits: Requests answered by the response cache.
    """

    requests: int = 0
    failed: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    total: float = 0.0
    inferences: int = 0
    executions: int = 0
    batches: dict[int, int] = field(default_factory=dict)
    cache_hits: int = 0

    def since(self, before: Counters) -> Counters:
        """What has been added since `before`."""
        batches = {size: count - before.batches.get(size, 0) for size, count in self.batches.items()}
        return Counters(
            self.requests - before.requests,
            self.failed - before.failed,
            {phase: self.seconds[phase] - before.seconds[phase] for phase in PHASES},
            self.total - before.total,
            self.inferences - before.inferences,
            self.executions - before.executions,
            {size: count for size, count in sorted(batches.items()) if count},
            self.cache_hits - before.cache_hits,
        )


class ServerView:
    """Asks one server over the protocol of the load.

    Args:
        target: A server of `lab_utils.server`, or `host:port` of the protocol.
        protocol: `http`, `grpc` or `stream`.
        model: The model.
        version: One of its versions; empty: the one that the server chooses.
    """

    def __init__(self, target: Server | str, protocol: str, model: str, version: str = "") -> None:
        self.protocol = protocol
        self.model, self.version = model, version
        if isinstance(target, str):
            self.address = target.removeprefix("http://").removeprefix("grpc://").rstrip("/")
        else:
            self.address = target.endpoints.http if protocol == "http" else target.endpoints.grpc
        if ":" not in self.address:
            raise LoadError(
                f"`{self.address}` is not an address.", fix="Give `host:port`, for example `localhost:8000`."
            )
        self._grpc: Any = None

    def close(self) -> None:
        """Close the connection."""
        if self._grpc is not None:
            self._grpc.close()

    def metadata(self) -> dict[str, Any]:
        """Name, versions, inputs and outputs. Raises `LoadError` when the model cannot be asked."""
        found: dict[str, Any] = self._ask("metadata")
        return found

    def config(self) -> dict[str, Any]:
        """The config that the server uses."""
        found = self._ask("config")
        return dict(found.get("config", found))

    def counters(self, patience: float = 0.0) -> Counters:
        """The statistics now.

        Args:
            patience: Seconds to wait for a model that is not there: under a load it may be loaded again.
        """
        end = time.monotonic() + patience
        while True:
            try:
                stats = self._ask("stats")
                break
            except _Absent:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        total = Counters()
        for entry in stats.get("model_stats", []):
            if self.version and str(entry.get("version")) != self.version:
                continue
            total = _add(total, entry)
        return total

    def _ask(self, what: str) -> dict[str, Any]:
        return self._ask_http(what) if self.protocol == "http" else self._ask_grpc(what)

    def _ask_http(self, what: str) -> dict[str, Any]:
        # Statistics without a version are those of all versions.
        version = f"/versions/{self.version}" if self.version else ""
        path = f"/v2/models/{self.model}{version}" + ("" if what == "metadata" else f"/{what}")
        try:
            answer = web.get(f"http://{self.address}{path}", 30)
        except httpx.HTTPError as error:
            raise self._no_server(str(error)) from None
        if answer.status_code != 200:
            raise self._no_model(_error_text(answer))
        return dict(answer.json())

    def _ask_grpc(self, what: str) -> dict[str, Any]:
        import tritonclient.grpc as grpcclient
        from tritonclient.utils import InferenceServerException

        if self._grpc is None:
            self._grpc = grpcclient.InferenceServerClient(
                self.address, channel_args=[("grpc.enable_http_proxy", 0)]
            )
        calls = {
            "metadata": self._grpc.get_model_metadata,
            "config": self._grpc.get_model_config,
            "stats": self._grpc.get_inference_statistics,
        }
        try:
            found = calls[what](self.model, self.version, as_json=True, client_timeout=30)
        except InferenceServerException as error:
            if "UNAVAILABLE" in str(error.status()) or "DEADLINE" in str(error.status()):
                raise self._no_server(str(error.message())) from None
            raise self._no_model(str(error.message())) from None
        return dict(found)

    def _no_server(self, reason: str) -> LoadError:
        word = "HTTP" if self.protocol == "http" else "gRPC"
        return LoadError(
            f"No Triton answers {word} at {self.address}.",
            why=reason,
            fix="Check that the server runs (`triton-lab status` says how one ended), and that the port is "
            "the one of this protocol.",
        )

    def _no_model(self, reason: str) -> LoadError:
        return _Absent(
            f"The model `{self.model}` cannot be loaded with requests.",
            why=reason,
            fix="Check the name and the version, and that the model is ready.",
        )


class _Absent(LoadError):
    """The server is there, and the model is not."""


def _error_text(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}: {answer.text[:200]}"


def _add(total: Counters, entry: Mapping[str, Any]) -> Counters:
    """One version more. protobuf's JSON leaves zeros out and writes 64-bit numbers as text."""
    stats = entry.get("inference_stats", {})

    def number(name: str, key: str) -> int:
        return int(stats.get(name, {}).get(key, 0))

    batches = dict(total.batches)
    for batch in entry.get("batch_stats", []):
        size = int(batch["batch_size"])
        batches[size] = batches.get(size, 0) + int(batch.get("compute_infer", {}).get("count", 0))
    return Counters(
        total.requests + number("success", "count"),
        total.failed + number("fail", "count"),
        {phase: total.seconds[phase] + number(phase, "ns") * 1e-9 for phase in PHASES},
        total.total + number("success", "ns") * 1e-9,
        total.inferences + int(entry.get("inference_count", 0)),
        total.executions + int(entry.get("execution_count", 0)),
        batches,
        total.cache_hits + number("cache_hit", "count"),
    )
