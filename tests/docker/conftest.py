"""The engine, the image, the model repository and the settings that the docker tests share."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import pytest

from tests.docker.parity.repository import save_network
from tests.docker.real_engine import IMAGE, RealEngine, import_image, triton_mounts
from tests.docker.started import started_engine

SETTINGS = ("IMAGE", "GPU", "SHM_SIZE", "IPC", "MEMORY", "ULIMITS", "MOUNTS", "HOME", "RUNTIME", "LIFETIME")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.docker)


@pytest.fixture(scope="package")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealEngine]:
    """A real dockerd; at the end nothing of it may be left on this machine."""
    interfaces = sorted(name for _, name in socket.if_nameindex())
    # Python's helper for shared memory lives as long as this process: outside the engine's network.
    resource_tracker.ensure_running()
    with started_engine() as made:
        yield made
        import docker

        client = docker.DockerClient(base_url=made.address)
        containers = [c.name for c in client.containers.list(all=True)]
        client.close()
    assert containers == [], "the tests left containers behind"
    assert sorted(name for _, name in socket.if_nameindex()) == interfaces


@pytest.fixture
def in_network(engine: RealEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One test in the engine's network, and with its address: the other folders' tests stay outside."""
    monkeypatch.setenv("DOCKER_HOST", engine.address)
    with engine.network():
        yield


@pytest.fixture(scope="package")
def client(engine: RealEngine) -> Iterator[Any]:
    """A client of the engine, for what the tests look at themselves."""
    import docker

    made = docker.DockerClient(base_url=engine.address)
    yield made
    made.close()


@pytest.fixture(scope="package")
def mounts(client: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The test image is in the engine; returns the mounts that fill it."""
    environment, text = triton_mounts(tmp_path_factory.mktemp("caches"))
    import_image(client, environment)
    return text


@pytest.fixture
def settings(mounts: str, in_network: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The environment of a student who uses the test image; returns the state folder."""
    for name in SETTINGS:
        monkeypatch.delenv(f"TRITON_LAB_{name}", raising=False)
    monkeypatch.setenv("TRITON_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRITON_LAB_IMAGE", IMAGE)
    monkeypatch.setenv("TRITON_LAB_MOUNTS", mounts)
    return tmp_path / "home"


@pytest.fixture(scope="package")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with one small ONNX model, `scores`: FP32 [-1, 8] times a matrix."""
    root = tmp_path_factory.mktemp("repository")
    folder = root / "scores" / "1"
    folder.mkdir(parents=True)
    save_network(folder / "model.onnx")
    (root / "scores" / "config.pbtxt").write_text(
        'platform: "onnxruntime_onnx"\nmax_batch_size: 8\n'
        'input [ { name: "x" data_type: TYPE_FP32 dims: [ 8 ] } ]\n'
        'output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
        "instance_group [ { kind: KIND_CPU count: 1 } ]\n"
    )
    return root


@pytest.fixture(scope="package")
def empty_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with no model: the quickest server there is."""
    return tmp_path_factory.mktemp("empty")
