"""Traces of a server in a container arrive at a receiver on this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as triton_http

from lab_utils import server as triton
from lab_utils.server.docker_host import way_back
from lab_utils.tracing import TraceReceiver, new_traceparent, trace_options

pytestmark = pytest.mark.usefixtures("settings")


def test_a_trace_comes_back_from_a_container(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_LAB_RUNTIME", "docker")
    header, trace_id = new_traceparent()
    with TraceReceiver() as receiver:
        assert way_back().listen in receiver.url
        assert "127.0.0.1" not in receiver.url
        server = triton.start(
            repository,
            name="traced",
            lifetime="kernel",
            options=["--disable-auto-complete-config", *trace_options(receiver, rate=0)],
            wait_for=["scores"],
        )
        try:
            with triton_http.InferenceServerClient(server.endpoints.http) as client:
                row = triton_http.InferInput("x", [1, 8], "FP32")
                row.set_data_from_numpy(np.ones((1, 8), np.float32))
                client.infer("scores", [row], headers={"traceparent": header})
            trace = receiver.wait_for(trace_id)
        finally:
            server.stop()
    assert [span.name for span in trace] == ["InferRequest", "scores", "compute"]


def test_without_containers_and_without_an_engine_it_is_loopback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_LAB_RUNTIME", "embedded")
    assert (way_back().listen, way_back().name) == ("127.0.0.1", "127.0.0.1")
    monkeypatch.setenv("TRITON_LAB_RUNTIME", "docker")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert (way_back().listen, way_back().name) == ("127.0.0.1", "host.docker.internal")
