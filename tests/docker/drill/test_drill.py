"""Failure drill of the docker runtime: each fault says its cause and its mend, and then the next start works.

Faults that need no second start are in `tests/docker/test_docker_faults.py`.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import numpy as np
import pytest
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

from lab_utils import paths
from lab_utils import server as triton
from lab_utils.diagnosis import best_match
from lab_utils.server import docker_engine, docker_pull
from lab_utils.server.base import ServerError
from lab_utils.server.docker import DockerServer
from lab_utils.server.docker_errors import EngineError, Fault
from lab_utils.server.docker_settings import DEFAULT_IMAGE
from tests.docker.real_engine import IMAGE, import_image
from tests.docker.started import started_engine
from tests.server.conftest import MODEL, add_model

pytestmark = pytest.mark.usefixtures("settings")
WIDE = """
backend: "python"
input [ { name: "x" data_type: TYPE_FP32 dims: [ -1 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ -1 ] } ]
"""
START = ["-m", "lab_utils.cli", "start", "--repository=/models"]
SHORT = ("--disable-auto-complete-config", "--exit-timeout-secs=1")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A repository with the Python model `double`, which takes a vector of any length."""
    add_model(tmp_path / "models", "double", config=WIDE)
    return tmp_path / "models"


def ask(server: DockerServer, size: int = 4) -> None:
    """One prediction, and the answer is right."""
    x = np.ones(size, np.float32)
    with triton_http.InferenceServerClient(server.endpoints.http) as client:
        tensor = triton_http.InferInput("x", [size], "FP32")
        tensor.set_data_from_numpy(x)
        np.testing.assert_array_equal(client.infer("double", [tensor]).as_numpy("y"), 2 * x)


@contextlib.contextmanager
def started(repository: Path, **settings: Any) -> Iterator[DockerServer]:
    """A server with the model `double`, removed at the end."""
    settings = {"options": SHORT, "wait_for": ["double"], "lifetime": "kernel", **settings}
    server = DockerServer(repository, name="drill", **settings)
    try:
        yield server.start()
    finally:
        server.stop(timeout=0)


def works(repository: Path, **settings: Any) -> None:
    """The next start works."""
    with started(repository, **settings) as server:
        ask(server)


def fault_of(repository: Path, fault: Fault | None = None, **settings: Any) -> str:
    """The message of a start that fails; nothing stays behind."""
    with pytest.raises(ServerError) as caught, started(repository, **settings):
        pass
    assert caught.value.why
    assert caught.value.fix
    if fault is not None:
        assert isinstance(caught.value, EngineError)
        assert caught.value.fault is fault
    return str(caught.value)


def test_the_image_is_absent(models: Path, client: Any) -> None:
    text = fault_of(models, Fault.IMAGE_ABSENT, image="triton-lab-late:1")
    assert "`docker pull triton-lab-late:1`" in text
    assert "`triton-lab pull`" in text
    client.images.get(IMAGE).tag("triton-lab-late", "1")
    try:
        works(models, image="triton-lab-late:1")
    finally:
        client.images.remove("triton-lab-late:1")


class _EmptyRegistry(http.server.BaseHTTPRequestHandler):
    """A registry that has no image."""

    def do_GET(self) -> None:
        body = b"{}" if self.path == "/v2/" else json.dumps(
            {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
        ).encode()  # fmt: skip
        self.send_response(200 if self.path == "/v2/" else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_the_registry_is_unreachable() -> None:
    """The engine of the tests has no way out: what a machine without network sees."""
    for image, registry in ((DEFAULT_IMAGE, "nvcr.io"), ("some/triton", "docker.io")):
        with pytest.raises(EngineError) as caught:
            docker_pull.pull(image)
        assert caught.value.fault is Fault.REGISTRY
        assert f"The registry {registry} cannot be reached" in str(caught.value)
        assert "`docker load -i image.tar`" in caught.value.fix
        match = best_match(f"Error response from daemon: {caught.value.details}")
        assert match is not None
        assert match.rule.id == "container.registry"
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _EmptyRegistry) as registry_server:
        threading.Thread(target=registry_server.serve_forever, daemon=True).start()
        image = f"127.0.0.1:{registry_server.server_port}/none"
        with pytest.raises(EngineError) as caught:
            docker_pull.pull(image)
        registry_server.shutdown()
    assert caught.value.fault is Fault.IMAGE_REFUSED
    assert f"does not give the image `{image}`" in str(caught.value)


def test_the_engine_stops_mid_lab(models: Path, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with started_engine() as second:
        monkeypatch.setenv("DOCKER_HOST", second.address)
        other = docker.DockerClient(base_url=second.address)
        environment = client.images.get(IMAGE).attrs["Config"]["Env"]
        import_image(other, dict(entry.split("=", 1) for entry in environment))
        server = DockerServer(models, name="drill", options=SHORT, wait_for=["double"])
        with second.network():
            server.start()
            ask(server)
        second.stop()
        assert not server.alive()
        with pytest.raises(EngineError) as caught:
            server.wait_ready("double", timeout=3)
        assert caught.value.fault is Fault.ENGINE_STOPPED
        assert "stopped answering" in str(caught.value)
        assert "systemctl start docker" in caught.value.fix
        with pytest.raises(EngineError) as caught, docker_engine.answering():
            other.containers.list()
        assert caught.value.fault is Fault.ENGINE_STOPPED
        other.close()
        with pytest.raises(EngineError) as caught:
            DockerServer(models, name="drill").start()
        assert caught.value.fault is Fault.NO_ENGINE
        assert triton.find("drill") is None
        second.start()
        with second.network():
            works(models)  # it takes the place of the container that ended with the engine
            assert docker_engine.connect().containers.list(all=True) == []


GREEDY = MODEL + "\n    def initialize(self, args):\n        self.much = b'x' * (400 << 20)\n"


def test_a_model_takes_more_memory_than_the_container_may(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (models / "double" / "1" / "model.py").write_text(GREEDY)
    monkeypatch.setenv("TRITON_LAB_MEMORY", "200m")
    text = fault_of(models, Fault.OUT_OF_MEMORY)
    assert "too little memory for the model `double`" in text
    assert "limit of 200m" in text
    assert "Raise TRITON_LAB_MEMORY" in text
    monkeypatch.delenv("TRITON_LAB_MEMORY")
    works(models)


def test_a_port_is_taken(models: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = fault_of(models, Fault.PORT_TAKEN, options=[*SHORT, f"--http-port={port}"])
        assert f"Port {port} of this machine is taken" in text
    works(models, options=[*SHORT, f"--http-port={port}"])


def test_a_model_needs_more_shared_memory_than_64_mib(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_LAB_SHM_SIZE", "64m")
    tensor = 10_000_000  # 40 MB, and the answer is as large
    with started(models) as server, pytest.raises(InferenceServerException) as caught:
        ask(server, tensor)
    match = best_match(str(caught.value))
    assert match is not None
    assert "/dev/shm is too small" in match.cause
    assert "TRITON_LAB_SHM_SIZE=1g" in match.fix
    text = fault_of(models, options=[*SHORT, "--backend-config=python,shm-default-byte-size=100000000"])
    assert "/dev/shm is too small" in text
    assert "TRITON_LAB_SHM_SIZE=1g" in text
    monkeypatch.setenv("TRITON_LAB_SHM_SIZE", "1g")
    with started(models) as server:
        ask(server, tensor)


def test_a_model_writes_where_the_volume_is_read_only(models: Path) -> None:
    code = models / "double" / "1" / "model.py"
    writes = "\n    def initialize(self, args):\n        open({place}, 'w').close()\n"
    code.write_text(MODEL + writes.format(place="__file__ + '.cache'"))
    text = fault_of(models)
    assert "writes to a place that is mounted read-only: /models/double/1/model.py.cache" in text
    assert "TRITON_LAB_MOUNTS=/here:/there:rw" in text
    code.write_text(MODEL + writes.format(place="'/tmp/cache'"))
    works(models)


def test_the_repository_is_another_users(models: Path, client: Any) -> None:
    """An image whose server is not root, and a repository that only its owner may read."""
    container = client.containers.create(IMAGE, ["true"])
    container.commit("triton-lab-user", "1", changes="USER 1234")
    container.remove()
    try:
        models.chmod(0o700)
        text = fault_of(models, image="triton-lab-user:1")
        assert "cannot read its model repository" in text
        assert "cannot open the folder /models: its user may not read it" in text
        assert "chmod -R a+rX" in text
        models.chmod(0o755)
        (models / "double" / "1" / "model.py").chmod(0o600)
        text = fault_of(models, image="triton-lab-user:1")
        assert "may not use a file: /models/double/1/model.py" in text
        assert "chmod -R a+rX" in text
        (models / "double" / "1" / "model.py").chmod(0o644)
        works(models, image="triton-lab-user:1")
    finally:
        client.images.remove("triton-lab-user:1")


def test_the_students_own_volume_is_read_only_or_another_users(
    mounts: str, client: Any, tmp_path: Path
) -> None:
    """The folder with the records of the servers, in a container as the image of JupyterLab has it."""
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    root = str(paths.project_root())
    volumes = [*(f"{mount}:ro" for mount in mounts.split(",")), f"{root}:{root}:ro"]
    variables = {"TRITON_LAB_HOME": "/state", "TRITON_LAB_RUNTIME": "embedded", "HOME": "/tmp"}

    def run(arguments: list[str], mode: str, user: int) -> str:
        line = [sys.executable, *arguments]
        said: bytes = client.containers.run(
            IMAGE, line, user=user, environment=variables, volumes=[*volumes, f"{state}:/state:{mode}"],
            working_dir=root, network_mode="none", remove=True,
        )  # fmt: skip
        return said.decode()

    def refused(mode: str, user: int) -> str:
        with pytest.raises(docker.errors.ContainerError) as caught:
            run(START, mode, user)
        assert caught.value.exit_status == 1
        return str(caught.value.stderr.decode())

    text = refused("ro", 0)
    assert "The folder /state for the records of your servers cannot be written." in text
    assert "mounted read-only" in text
    assert "without `:ro`" in text
    text = refused("rw", 1234)
    assert "/state belongs to a user with the id 0, and this process runs as a user with the id 1234." in text
    assert "chown -R 1234:0 /state" in text
    assert list(state.iterdir()) == []
    os.chown(state, 1234, 0)
    assert "models runs (embedded" in run(START, "rw", 1234)
    # Where JupyterHub gives each user such a container, a server's key can be hidden in it.
    code = "from lab_utils.keeper.hidden import possible; print(possible() or 'hidden')"
    assert run(["-c", code], "rw", 1234).strip() == "hidden"
