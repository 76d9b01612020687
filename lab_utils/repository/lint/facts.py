"""What lint must know about the server that will read the repository."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psutil

from lab_utils.repository.names import SERVER_VERSION

# The backends of the labs' own server, and those in the container of the same release.
EMBEDDED_BACKENDS = frozenset({"python", "onnxruntime", "pytorch"})
CONTAINER_BACKENDS = EMBEDDED_BACKENDS | {
    "tensorrt", "tensorflow", "openvino", "dali", "fil", "identity", "repeat", "square"
}  # fmt: skip


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class ServerFacts:
    """The server that a repository is checked for; by default the embedded one on this machine.

    Attributes:
        version: Version of Triton.
        gpus: How many GPUs the server sees.
        cores: CPU cores that it may use.
        memory: Bytes of memory of the machine.
        backends: Names that `backend:` may have.
        python_based: Backends that the course serves by Python-based ones (docs/backends.md); they refuse
            a few things that the C++ backends of these names take.
        auto_complete: Whether missing parts of a config are filled in from the model file.
        cache: Whether the server was started with `--cache-config`.
        rate_limit: Whether it was started with `--rate-limit=execution_count`.
        config_name: Value of `--model-config-name`.
        local: Whether the server runs in this Python environment, so that its modules can be looked up.
    """

    version: str = SERVER_VERSION
    gpus: int = 0
    cores: int = field(default_factory=_cores)
    memory: int = field(default_factory=lambda: int(psutil.virtual_memory().total))
    backends: frozenset[str] = EMBEDDED_BACKENDS
    python_based: frozenset[str] = frozenset({"onnxruntime", "pytorch"})
    auto_complete: bool = True
    cache: bool = False
    rate_limit: bool = False
    config_name: str = ""
    local: bool = True

    def with_options(self, options: Sequence[str]) -> ServerFacts:
        """These facts for a server with such options, each `--name=value` as tritonserver takes them."""
        given: dict[str, str] = {}
        for option in options:
            name, _, value = option.lstrip("-").partition("=")
            given[name] = value
        return replace(
            self,
            auto_complete="disable-auto-complete-config" not in given
            and given.get("strict-model-config", "false").lower() not in ("true", "1"),
            cache="cache-config" in given or given.get("response-cache-byte-size", "0") not in ("", "0"),
            rate_limit=given.get("rate-limit", "off") != "off",
            config_name=given.get("model-config-name", ""),
        )

    @classmethod
    def of(cls, server: Any) -> ServerFacts:
        """The facts of one of the labs' servers: how it was started, and what it says of itself.

        Args:
            server: A `lab_utils.server.Server`.
        """
        facts = cls()
        runtime = getattr(server, "runtime", "embedded")
        if runtime != "embedded":
            # The C++ backends; whether a GPU is there shows in the metrics.
            facts = replace(
                facts, backends=CONTAINER_BACKENDS, python_based=frozenset(), local=False, gpus=_gpus(server)
            )
            facts = replace(facts, version=_version(server) or facts.version)
        record = getattr(server, "record", None)
        options = getattr(record, "options", None) or getattr(server, "options", None) or ()
        return facts.with_options([str(o) for o in options])


def _gpus(server: Any) -> int:
    """The GPUs that show in the server's metrics; 0 when it cannot be asked."""
    import httpx

    try:
        text = httpx.get(server.endpoints.metrics_url, timeout=5).text
    except (httpx.HTTPError, AttributeError):
        return 0
    return sum(line.startswith("nv_gpu_memory_total_bytes{") for line in text.splitlines())


def _version(server: Any) -> str:
    import httpx

    try:
        return str(httpx.get(f"{server.endpoints.http_url}/v2", timeout=5).json().get("version", ""))
    except (httpx.HTTPError, AttributeError, ValueError):
        return ""
