"""The docker runtime on a real engine: start, answer, attach, stop."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton_http
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import InferenceServerException

from lab_utils import server as triton
from lab_utils.server.base import Endpoints, Lifetime, Server
from lab_utils.server.docker import DockerServer
from lab_utils.server.docker_ours import list_ours
from lab_utils.server.embedded import EmbeddedServer

pytestmark = pytest.mark.usefixtures("settings")


ASK_GRPC = """
import io, sys
import numpy as np
import tritonclient.grpc as triton

images = np.load(io.BytesIO(sys.stdin.buffer.read()))
with triton.InferenceServerClient(sys.argv[1]) as client:
    tensor = triton.InferInput("x", list(images.shape), "FP32")
    tensor.set_data_from_numpy(images)
    answer = client.infer("scores", [tensor]).as_numpy("y")
np.save(sys.stdout.buffer, answer)
"""


def ask(endpoints: Endpoints, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The model's answer over HTTP and over gRPC."""
    with triton_http.InferenceServerClient(endpoints.http) as client:
        tensor = triton_http.InferInput("x", list(images.shape), "FP32")
        tensor.set_data_from_numpy(images)
        over_http = client.infer("scores", [tensor]).as_numpy("y")
    # In a process of its own: these tests run in the engine's network namespace, and gRPC's threads,
    # which outlive the test, would stay there and fail every gRPC test that comes later.
    sent = io.BytesIO()
    np.save(sent, images)
    command = [sys.executable, "-c", ASK_GRPC, endpoints.grpc]
    answer = subprocess.run(command, input=sent.getvalue(), capture_output=True, timeout=60, check=True)
    return over_http, np.load(io.BytesIO(answer.stdout))


def test_a_container_answers_like_the_embedded_server(repository: Path, client: Any) -> None:
    images = np.random.default_rng().standard_normal((5, 8)).astype(np.float32)
    embedded = EmbeddedServer(repository, name="same", lifetime=Lifetime.KERNEL, wait_for=["scores"]).start()
    try:
        expected, _ = ask(embedded.endpoints, images)
    finally:
        embedded.stop()
    server = triton.start(repository, name="lab01", runtime="docker", wait_for=["scores"], timeout=60)
    try:
        assert isinstance(server, DockerServer)
        assert isinstance(server, Server)
        over_http, over_grpc = ask(server.endpoints, images)
        np.testing.assert_array_equal(over_http, expected)
        np.testing.assert_array_equal(over_grpc, expected)
        assert expected.shape == (5, 4)
        metrics = httpx.get(server.endpoints.metrics_url).text
        assert 'nv_inference_request_success{model="scores",version="1"} 2' in metrics
        assert "Started HTTPService" in server.logs()
        assert len(server.logs(tail=2).splitlines()) == 2
        assert server.alive()
        assert server.pid is not None
        assert "tritonserver" in Path(f"/proc/{server.pid}/cmdline").read_text()

        attrs = client.containers.get(server.container_id).attrs
        bindings = attrs["HostConfig"]["PortBindings"]
        assert sorted(bindings) == ["8000/tcp", "8001/tcp", "8002/tcp"]
        assert {b["HostIp"] for ports in bindings.values() for b in ports} == {"127.0.0.1"}
        assert attrs["HostConfig"]["ShmSize"] == 1 << 30
        assert f"{repository}:/models:ro" in attrs["HostConfig"]["Binds"]

        # The same call finds the same server, so does its name, and another process would too.
        again = triton.start(repository, name="lab01", runtime="docker", wait_for=["scores"])
        assert again.container_id == server.container_id  # type: ignore[attr-defined]
        found = triton.find("lab01")
        assert found is not None
        assert found.endpoints == server.endpoints
        assert found.repository == repository
        assert [s.name for s in list_ours()] == ["lab01"]
    finally:
        server.stop()
    # Triton drained by itself: exit code 0, no signal.
    assert server.ended is not None
    assert (server.ended.code, server.ended.signal) == (0, None)
    assert not server.alive()
    assert client.containers.list(all=True) == []
    assert "Started HTTPService" in server.logs()
    assert triton.find("lab01") is None


def test_system_shared_memory_needs_the_hosts_ipc(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng().standard_normal((3, 8)).astype(np.float32)
    key = f"/tlclient{os.getpid()}"
    region = shm.create_shared_memory_region("images", key, images.nbytes)
    try:
        shm.set_shared_memory_region(region, [images])
        for ipc in ("", "host"):
            monkeypatch.setenv("TRITON_LAB_IPC", ipc)
            server = DockerServer(repository, name="shm", lifetime="kernel", wait_for=["scores"]).start()
            try:
                with triton_http.InferenceServerClient(server.endpoints.http) as client:
                    if not ipc:
                        with pytest.raises(InferenceServerException, match="shared memory region"):
                            client.register_system_shared_memory("images", key, images.nbytes)
                        continue
                    client.register_system_shared_memory("images", key, images.nbytes)
                    tensor = triton_http.InferInput("x", list(images.shape), "FP32")
                    tensor.set_shared_memory("images", images.nbytes)
                    answer = client.infer("scores", [tensor]).as_numpy("y")
                np.testing.assert_array_equal(answer, ask(server.endpoints, images)[0])
                assert list(Path("/dev/shm").glob(f"tl{server.launch}*"))
            finally:
                server.stop(timeout=0)  # killed: Triton itself removes nothing
    finally:
        shm.destroy_shared_memory_region(region)
    assert list(Path("/dev/shm").glob(f"tl{server.launch}*")) == []


def test_the_repository_is_read_only_unless_asked(empty_repository: Path, client: Any) -> None:
    script = ["sh", "-c", "touch /models/new"]
    server = DockerServer(empty_repository, name="ro", lifetime="kernel").start()
    try:
        answer = client.containers.get(server.container_id).exec_run(script)
        assert answer.exit_code != 0
        assert b"Read-only" in answer.output
    finally:
        server.stop(timeout=0)
    server = DockerServer(empty_repository, name="rw", lifetime="kernel", writable=True).start()
    try:
        assert client.containers.get(server.container_id).exec_run(script).exit_code == 0
        assert (empty_repository / "new").exists()
    finally:
        server.stop(timeout=0)
        (empty_repository / "new").unlink()
