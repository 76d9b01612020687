"""What the engine cannot give, GPUs and limits: refused if it was asked for, else left out and said."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import docker
import pytest

from lab_utils.server.docker import DockerServer
from lab_utils.server.docker_errors import Fault
from tests.docker.real_engine import IMAGE, import_image
from tests.docker.refused import fault_of
from tests.docker.started import started_engine


def test_a_gpu_is_asked_for_and_the_engine_has_none(
    empty_repository: Path, settings: Path, client: Any
) -> None:
    text = fault_of(DockerServer(empty_repository, name="gpu", gpu=True), Fault.NO_GPU_RUNTIME)
    assert "could not select device driver" in text
    assert "NVIDIA Container Toolkit" in text
    assert "TRITON_LAB_GPU=none" in text
    assert client.containers.list(all=True) == []


@pytest.fixture
def machine_with_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose nvidia-smi lists a GPU: the driver is there, the container toolkit is not."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "GPU 0: NVIDIA Test (UUID: GPU-1)"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_a_gpu_that_nobody_asked_for_is_left_out_and_said(
    empty_repository: Path, settings: Path, machine_with_gpu: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "triton-lab"):
        server = DockerServer(empty_repository, name="auto", lifetime="kernel")
        assert "--gpus all" in server.run_line()
        server.start()
    try:
        assert any("the server runs on the CPU" in note for note in server.notes)
        assert any("could not select device driver" in note for note in server.notes)
        assert "the server runs on the CPU" in caplog.text
        assert "--gpus" not in server.run_line()
        assert server.gpus == []
    finally:
        server.stop(timeout=0)


def test_an_engine_that_takes_the_request_and_gives_no_gpu(
    empty_repository: Path, settings: Path, client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """docker hands a GPU request to any hook of that name; this one does nothing, as a broken one would."""
    hook = tmp_path / "bin" / "nvidia-container-runtime-hook"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\nexit 0\n")
    hook.chmod(0o755)
    with started_engine(path=str(hook.parent)) as second:
        monkeypatch.setenv("DOCKER_HOST", second.address)
        other = docker.DockerClient(base_url=second.address)
        image = client.images.get(IMAGE)
        import_image(other, dict(e.split("=", 1) for e in image.attrs["Config"]["Env"]))
        server = DockerServer(empty_repository, name="silent", gpu=True)
        with second.network():
            text = fault_of(server, Fault.NO_GPU_INSIDE)
        assert "there is no GPU in it (asked for `--gpus all`)" in text
        assert other.containers.list(all=True) == []
        other.close()


def test_limits_that_the_engine_refuses_are_left_out_and_said(
    empty_repository: Path, settings: Path, monkeypatch: pytest.MonkeyPatch, client: Any
) -> None:
    # More open files than the kernel allows to anybody (fs.nr_open).
    monkeypatch.setenv("TRITON_LAB_ULIMITS", "nofile=4000000000")
    server = DockerServer(empty_repository, name="limits", lifetime="kernel").start()
    try:
        assert server.notes == [
            "The engine refuses the limits nofile=4000000000; the container runs without them."
        ]
        assert "--ulimit" not in server.run_line()
        assert not client.containers.get(server.container_id).attrs["HostConfig"]["Ulimits"]
    finally:
        server.stop(timeout=0)
