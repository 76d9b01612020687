"""What a student should know about a stack that has just been started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from lab_utils.errors import LabError
from lab_utils.server import probe
from lab_utils.server.base import Endpoints
from lab_utils.stack import compose
from lab_utils.stack.state import StackState

_TRITON_PORTS = {8000: "http", 8001: "grpc", 8002: "metrics"}


def addresses(config: Mapping[str, Any], services: Sequence[str]) -> dict[str, str]:
    """The address of each published port, by `service` or `service.port` for Triton's three."""
    found = {}
    for name in services:
        for port in compose.published(config["services"][name]):
            host = "127.0.0.1" if port.host in ("", "0.0.0.0", "::") else port.host
            kind = _TRITON_PORTS.get(port.inner, "") if name == "triton" else ""
            address = f"{host}:{port.outer}"
            found[f"{name}.{kind}" if kind else name] = address if kind == "grpc" else f"http://{address}"
    return found


def broken_models(found: StackState) -> list[str]:
    """The models that the stack's Triton could not load, in words."""
    url = found.urls.get("triton.http")
    if url is None:
        return []
    http = url.removeprefix("http://")
    try:
        index = probe.repository_index(Endpoints(http, "", ""))
    except httpx.HTTPError:
        return [f"Triton does not say which models it has; look at {url}/v2/health/ready."]
    return [
        f"The model {entry['name']} was not loaded: {entry['reason']}"
        for entry in index
        if entry.get("state") == "UNAVAILABLE" and entry.get("reason", "unloaded") != "unloaded"
    ]


def programs(found: StackState) -> list[str]:
    """Lab 4 starts a Prometheus of its own: out of the stack's images where this machine has none.

    Args:
        found: The stack that runs.

    Returns:
        What was done about it, in words; empty when there was nothing to do.
    """
    from lab_utils.monitoring import tools

    if not {"prometheus", "alertmanager"} <= set(found.images):
        return []
    if tools.has_prometheus() and tools.has_alertmanager():
        return []
    try:
        tools.fetch(from_images=True)
    except LabError as error:
        return [f"Lab 4 will find no Prometheus of its own: {error.what} {error.fix}"]
    return ["Lab 4 uses the Prometheus and the Alertmanager of these images."]
