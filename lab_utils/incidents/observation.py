"""What can be seen of a server from outside, in one stretch of time: all that a diagnosis may rest on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import tritonclient.http as httpclient

from lab_utils import web
from lab_utils.incidents.crowd import Client, Crowd
from lab_utils.incidents.layout import ENSEMBLE
from lab_utils.monitoring.window import Window, watch
from lab_utils.server import keys

if TYPE_CHECKING:
    from lab_utils.server.base import Server
    from lab_utils.tracing import Span, TraceReceiver

WARMUP, SECONDS = 0.5, 2.0
"""How long visitors ask before it counts, and how long it counts."""
_SPAN_SECONDS = 8.0


@dataclass(frozen=True)
class Observation:
    """Everything that there is to look at. The configs of the models are not in it.

    Attributes:
        window: The server's metrics.
        clients: What the users of each model saw, by the model that they asked.
        index: The answer of `POST /v2/repository/index`: name, version, state and reason of each model.
        log: What the server wrote to its log since the last time that all was well.
        spans: The trace of one request to `guide`.
    """

    window: Window
    clients: Mapping[str, Client]
    index: Sequence[Mapping[str, Any]] = ()
    log: str = ""
    spans: Sequence[Span] = field(default_factory=list)


def repository_index(server: Server) -> list[dict[str, Any]]:
    """What the server says about every model of its repository."""
    url, headers = f"{server.endpoints.http_url}/v2/repository/index", keys.headers_for(server.endpoints.http)
    answer = httpx.post(url, headers=headers, trust_env=False, timeout=10, verify=web.tls())
    return list(answer.json())


def observe(
    server: Server,
    crowd: Crowd,
    receiver: TraceReceiver,
    *,
    seconds: float = SECONDS,
    log_from: int = 0,
) -> Observation:
    """Let visitors ask for some seconds, and look at everything meanwhile.

    Args:
        server: The museum's server.
        crowd: Its visitors.
        receiver: Where the server sends its spans.
        seconds: How long to look.
        log_from: Characters of the log that are old.
    """
    asking = crowd.begin(WARMUP, seconds)
    time.sleep(WARMUP)
    window = watch(server, seconds)
    clients = asking.end()
    return Observation(
        window,
        clients,
        repository_index(server),
        server.logs()[log_from:],
        trace_one(server, receiver),
    )


def trace_one(server: Server, receiver: TraceReceiver) -> list[Span]:
    """The spans of one request to the ensemble; empty when it is not answered or not traced in time."""
    from lab_utils.tracing import TraceError, new_traceparent

    header, trace_id = new_traceparent()
    tensor = httpclient.InferInput("data", [1, 4], "FP32").set_data_from_numpy(np.zeros((1, 4), np.float32))
    with httpclient.InferenceServerClient(server.endpoints.http) as client:
        try:
            client.infer(ENSEMBLE, [tensor], headers={"traceparent": header})
        except httpclient.InferenceServerException:
            return []
    try:
        return list(receiver.wait_for(trace_id, _SPAN_SECONDS))
    except TraceError:
        return []
