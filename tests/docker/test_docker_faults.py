"""Every fault of the docker runtime, provoked on a real engine: each has its own message and mend."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab_utils import server as triton
from lab_utils.server import docker_engine, docker_launch
from lab_utils.server.base import ServerError
from lab_utils.server.docker import DockerServer
from lab_utils.server.docker_engine import container_name
from lab_utils.server.docker_errors import EngineError, Fault
from lab_utils.server.docker_settings import DEFAULT_IMAGE
from tests.docker.real_engine import IMAGE, RealEngine
from tests.docker.refused import fault_of

# --- no engine, or not for us -------------------------------------------------------------------


def test_no_engine_at_all(empty_repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    text = fault_of(DockerServer(empty_repository, name="none"), Fault.NO_ENGINE)
    assert "No container engine answers" in text
    assert "There is no such socket" in text
    assert "systemctl start docker" in text
    assert "`triton-lab lab`, with TRITON_LAB_RUNTIME not set" in text
    # Looking for our containers is no error there, and finds none.
    assert triton.find("none") is None


def test_the_engine_is_down(empty_repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{folder}/s")
        monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/s")
        text = fault_of(DockerServer(empty_repository, name="down"), Fault.NO_ENGINE)
        assert "nobody answers: the Docker service is down" in text


@pytest.mark.parametrize("address", ["tcp://gpu-box:2375", "ssh://me@gpu-box", "tcp://10.0.0.7:2376"])
def test_the_engine_is_elsewhere(
    empty_repository: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    text = fault_of(DockerServer(empty_repository, name="far"), Fault.ENGINE_ELSEWHERE)
    assert "is on another machine" in text
    assert "runtime `remote`" in text


def test_the_python_package_is_missing(empty_repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "docker", None)
    text = fault_of(DockerServer(empty_repository, name="sdk"), Fault.NO_SDK)
    assert "needs the Python package `docker`" in text


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_no_permission(engine: RealEngine, settings: Path) -> None:
    docker_engine.connect().close()  # everything is imported while we may still read it
    with as_nobody(), pytest.raises(EngineError) as caught:
        docker_engine.connect()
    assert caught.value.fault is Fault.NO_PERMISSION
    assert "usermod -aG docker" in str(caught.value)
    assert "You may not use the container engine" in str(caught.value)


# --- image --------------------------------------------------------------------------------------


def test_the_image_is_absent(empty_repository: Path, settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = fault_of(DockerServer(empty_repository, name="img", image="mine/triton:9"), Fault.IMAGE_ABSENT)
    assert "`docker pull mine/triton:9`" in text
    assert "GB" not in text  # we do not know how large that one is
    monkeypatch.delenv("TRITON_LAB_IMAGE")
    text = fault_of(DockerServer(empty_repository, name="img"), Fault.IMAGE_ABSENT)
    assert f"`docker pull {DEFAULT_IMAGE}`" in text
    assert "15 GB" in text
    problem = docker_engine.problem(DEFAULT_IMAGE)
    assert problem is not None
    assert problem.fault is Fault.IMAGE_ABSENT
    assert docker_engine.problem(IMAGE) is None


def test_the_image_is_not_a_triton(
    empty_repository: Path, settings: Path, monkeypatch: pytest.MonkeyPatch, client: Any
) -> None:
    monkeypatch.delenv("TRITON_LAB_MOUNTS")  # the test image without its mounts is an empty one
    text = fault_of(DockerServer(empty_repository, name="empty"), Fault.PROGRAM_ABSENT)
    assert f"The image `{IMAGE}` holds no `tritonserver`" in text
    assert client.containers.list(all=True) == []


# --- ports and names ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["ports", "option"])
def test_a_port_is_taken_by_a_program(empty_repository: Path, settings: Path, how: str, client: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        if how == "ports":
            server = DockerServer(empty_repository, name="port", ports=(port, port + 1, port + 2))
        else:
            server = DockerServer(empty_repository, name="port", options=[f"--http-port={port}"])
        text = fault_of(server, Fault.PORT_TAKEN)
    assert f"Port {port} of this machine is taken" in text
    assert f"process {os.getpid()}" in text
    assert client.containers.list(all=True) == []


def test_a_port_is_taken_by_a_container_and_free_ones_are_chosen_again(
    empty_repository: Path, settings: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = DockerServer(empty_repository, name="first", lifetime="kernel").start()
    try:
        ports = tuple(int(a.rsplit(":", 1)[1]) for a in first.endpoints.as_dict().values())
        text = fault_of(DockerServer(empty_repository, name="second", ports=ports), Fault.PORT_TAKEN)  # type: ignore[arg-type]
        assert any(f"Port {port} of this machine is taken" in text for port in ports)
        # Ports that were free when they were chosen and are not when they are used: others are taken.
        second = DockerServer(empty_repository, name="second", lifetime="kernel")
        with monkeypatch.context() as patch:
            patch.setattr(docker_launch.ports, "free_ports", lambda count: ports)
            assert second.spec.ports[8000] == ports[0]
        second.start()
        try:
            assert first.endpoints.http != second.endpoints.http
            second.wait_ready(timeout=5)
        finally:
            second.stop(timeout=0)
    finally:
        first.stop(timeout=0)


def test_the_name_is_somebody_elses(empty_repository: Path, settings: Path, client: Any) -> None:
    name = container_name("taken")
    for labels in ({}, {"triton-lab.name": "taken", "triton-lab.home": "/other", "triton-lab.user": "0"}):
        foreign = client.containers.create(IMAGE, ["sleep", "60"], name=name, labels=labels)
        try:
            text = fault_of(DockerServer(empty_repository, name="taken"), Fault.NAME_TAKEN)
            assert f"`docker rm -f {name}`" in text
            assert "that is not ours" in text
            assert ("/other" in text) is bool(labels)
            foreign.reload()  # still there, untouched
        finally:
            foreign.remove(force=True)


def test_an_old_container_of_ours_is_replaced(empty_repository: Path, settings: Path, client: Any) -> None:
    first = DockerServer(empty_repository, name="again").start()
    old = first.container_id
    client.containers.get(old).kill()
    second = DockerServer(empty_repository, name="again").start()
    third = None
    try:
        assert second.container_id != old
        third = DockerServer(empty_repository, name="again", options=["--log-verbose=1"]).start()
        assert third.container_id != second.container_id
        assert [c.id for c in client.containers.list(all=True)] == [third.container_id]
        assert not second.alive()
    finally:
        (third or second).stop(timeout=0)


# --- the container ends -------------------------------------------------------------------------


def test_triton_ends_while_it_starts(empty_repository: Path, settings: Path, client: Any) -> None:
    server = DockerServer(empty_repository, name="bad", options=["--log-verbose=very"])
    text = fault_of(server, Fault.EXITED)
    assert "ended with exit code" in text
    assert "log-verbose" in text
    assert client.containers.list(all=True) == []


def test_the_container_is_killed_from_outside(repository: Path, settings: Path, client: Any) -> None:
    server = DockerServer(repository, name="killed", lifetime="kernel", wait_for=["scores"]).start()
    try:
        client.containers.get(server.container_id).kill()
        assert not server.alive()
        with pytest.raises(EngineError) as caught:
            server.wait_ready("scores", timeout=3)
        assert caught.value.fault is Fault.EXITED
        assert "ended with exit code 137 (signal 9)" in str(caught.value)
        assert "SIGKILL" in caught.value.why
        client.containers.get(server.container_id).remove()
        with pytest.raises(ServerError, match="The container of the server `killed` is gone"):
            server.wait_ready(timeout=3)
    finally:
        server.stop()


def test_out_of_memory(
    empty_repository: Path, settings: Path, monkeypatch: pytest.MonkeyPatch, client: Any
) -> None:
    monkeypatch.setenv("TRITON_LAB_MEMORY", "64m")
    server = DockerServer(empty_repository, name="small", lifetime="kernel").start()
    try:
        with contextlib.suppress(httpx.HTTPError):  # Triton holds the whole request in memory
            httpx.post(f"{server.endpoints.http_url}/v2/models/x/infer", content=bytes(300 << 20), timeout=30)
        end = time.monotonic() + 10
        while server.alive() and time.monotonic() < end:
            time.sleep(0.1)
        with pytest.raises(EngineError) as caught:
            server.wait_ready(timeout=3)
    finally:
        server.stop()
    assert caught.value.fault is Fault.OUT_OF_MEMORY
    assert "was killed because it ran out of memory" in str(caught.value)
    assert "limit of 64m" in caught.value.why
    assert str(server.ended) == "out of memory"
    monkeypatch.delenv("TRITON_LAB_MEMORY")
    DockerServer(empty_repository, name="small", lifetime="kernel").start().stop(timeout=0)


def test_a_model_that_does_not_load_and_one_that_takes_too_long(
    empty_repository: Path, settings: Path, tmp_path: Path, client: Any
) -> None:
    root = tmp_path / "repository"
    (root / "broken" / "1").mkdir(parents=True)
    (root / "broken" / "config.pbtxt").write_text('platform: "onnxruntime_onnx"\nmax_batch: 8\n')
    server = DockerServer(root, name="broken", lifetime="kernel").start()
    try:
        with pytest.raises(ServerError) as caught:
            server.wait_ready("broken", timeout=20)
        assert "max_batch" in str(caught.value)
    finally:
        server.stop(timeout=0)
    (root / "broken" / "config.pbtxt").write_text('backend: "python"\n')
    (root / "broken" / "1" / "model.py").write_text(
        "import time\nclass TritonPythonModel:\n    def initialize(self, args):\n        time.sleep(60)\n"
    )
    began = time.monotonic()
    with pytest.raises(ServerError, match="did not answer within 3 seconds"):
        DockerServer(root, name="slow", timeout=3).start()
    assert time.monotonic() - began < 15
    assert client.containers.list(all=True) == []
