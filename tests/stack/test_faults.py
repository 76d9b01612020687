"""What can be in the way of the stack, on a real engine: each has its message, and then `up` works."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest

from lab_utils.server.docker_errors import EngineError, Fault
from lab_utils.stack import settings, state
from lab_utils.stack.containers import check_alive, service_of
from lab_utils.stack.failures import refused
from lab_utils.stack.faults import StackError, StackFault, images_absent
from lab_utils.stack.preflight import check_shared_memory
from lab_utils.stack.run import down, up
from lab_utils.stack.wish import Wish
from tests.docker.real_engine import IMAGE
from tests.docker.started import started_engine
from tests.stack.conftest import ALERTMANAGER

for_authors = pytest.mark.skipif(
    os.environ.get("TRITON_LAB_IMAGES") != "all",
    reason="for authors: slow faults of the stack, a minute; TRITON_LAB_IMAGES=all runs this",
)


def fault_of(wanted: Wish, fault: StackFault, client: Any, say: Callable[[str], None] = print) -> str:
    """The message of the fault with which `up` fails; nothing may stay behind."""
    with pytest.raises(StackError) as caught:
        up(wanted, say)
    assert caught.value.fault is fault, str(caught.value)
    assert caught.value.why
    assert caught.value.fix
    assert client.containers.list(all=True) == []
    assert client.volumes.list() == []
    assert state.read() is None
    return str(caught.value)


def test_images_are_absent_and_no_registry_can_be_reached(
    student: Path, wish: Callable[..., Wish], client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STACK", "JUPYTER", "PROMETHEUS", "ALERTMANAGER"):
        monkeypatch.delenv(f"TRITON_LAB_{name}_IMAGE")
    text = fault_of(wish(), StackFault.IMAGE_ABSENT, client)
    assert "5 images are missing on this machine" in text
    assert re.search(r"up --build.*` builds triton-lab/jupyter:24.10, triton-lab/triton-cpu:24.10", text)
    assert re.search(r"up --pull.*` fetches", text)
    assert "grafana/grafana:" in text
    assert "`triton-lab up triton`" in text
    text = fault_of(wish("triton"), StackFault.IMAGE_ABSENT, client)
    assert "1 image is missing on this machine: for triton." in text
    assert "--pull" not in text
    assert "Or name the services" not in text
    assert not settings.secrets_folder().exists(), "nobody needs them"
    gpu = Wish(("triton",), gpu=True)
    assert "`triton-lab up triton --gpu --build`" in str(images_absent({"triton": "x:1"}, {}, gpu))
    with pytest.raises(EngineError) as caught:
        up(wish("alertmanager", pull=True))
    assert caught.value.fault is Fault.REGISTRY
    assert "cannot be reached" in caught.value.what
    assert client.containers.list(all=True) == []


def test_a_build_that_gets_no_base_image_says_so(
    student: Path, wish: Callable[..., Wish], client: Any, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM registry.invalid/none:1\n")
    more = {"triton": {"image": "mine:1", "build": {"context": str(tmp_path), "dockerfile": "Dockerfile"}}}
    text = fault_of(wish("triton", more=more, build=True), StackFault.REGISTRY, client)
    assert "A base image or a package could not be fetched" in text
    (tmp_path / "Dockerfile").write_text(f"FROM {IMAGE}\nLABEL {'x' * 200}=1\nCOPY absent /\n")
    told: list[str] = []
    text = fault_of(wish("triton", more=more, build=True), StackFault.BUILD, client, told.append)
    assert "absent" in text
    assert told[0].startswith("Building the image of triton: 10 to 20 minutes")
    # Each step is said when it begins, on one short line.
    assert told[1:] == [
        f"  Step 1/3 : FROM {IMAGE}",
        f"  Step 2/3 : LABEL {'x' * 82}…",
        "  Step 3/3 : COPY absent /",
    ]


def test_a_port_is_taken(student: Path, wish: Callable[..., Wish], client: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 8001))
        taken.listen()
        text = fault_of(wish("triton"), StackFault.PORT_TAKEN, client)
        assert "Port 8001, which the service triton publishes, is taken" in text
        assert "`TRITON_LAB_GRPC_PORT=18001 triton-lab up triton --file " in text
        assert re.search(r"\(process \d+\) listens on it", text)


def test_ports_that_are_none_or_are_wanted_twice(
    student: Path, wish: Callable[..., Wish], client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in ("abc", "0", "65536", "-1"):
        monkeypatch.setenv("TRITON_LAB_HTTP_PORT", text)
        said = fault_of(wish("triton"), StackFault.PORT_NUMBER, client)
        assert f"TRITON_LAB_HTTP_PORT is `{text}`, which is not a port." in said
    monkeypatch.setenv("TRITON_LAB_HTTP_PORT", "18001")
    monkeypatch.setenv("TRITON_LAB_GRPC_PORT", "18001")
    said = fault_of(wish("triton"), StackFault.PORT_TAKEN, client)
    assert "18001 is wanted twice: by TRITON_LAB_HTTP_PORT and by TRITON_LAB_GRPC_PORT" in said
    # Taken between our look and the start: the engine's words, where ids are digits, too.
    words = (
        "driver failed programming external connectivity on endpoint triton (686200185c): "
        "Bind for 127.0.0.1:18001 failed: port is already allocated"
    )
    assert "Port 18001 of this machine was taken a moment ago" in str(refused(words))


def test_a_container_has_the_port(student: Path, wish: Callable[..., Wish], client: Any) -> None:
    other = client.containers.run(
        IMAGE, ["/usr/bin/sleep", "60"], name="somebody", detach=True, volumes=["/usr:/usr:ro"],
        ports={"9093/tcp": ("127.0.0.1", 9093)},
    )  # fmt: skip
    try:
        with pytest.raises(StackError) as caught:
            up(wish("alertmanager"))
        assert caught.value.fault is StackFault.PORT_TAKEN
        assert "The container somebody publishes it" in str(caught.value)
        assert "`docker stop somebody`" in str(caught.value)
    finally:
        other.remove(force=True)


def test_the_name_is_another_state_folders(
    student: Path, wish: Callable[..., Wish], client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    up(wish("alertmanager"))
    monkeypatch.setenv("TRITON_LAB_HOME", str(tmp_path / "other"))
    for call in (lambda: up(wish("alertmanager")), down):
        with pytest.raises(StackError) as caught:
            call()
        assert caught.value.fault is StackFault.NAME_TAKEN
        assert str(tmp_path / "home") in caught.value.why
    assert len(client.containers.list()) == 1
    monkeypatch.setenv("TRITON_LAB_HOME", str(tmp_path / "home"))


def test_folders_that_the_containers_cannot_use(
    student: Path, wish: Callable[..., Wish], client: Any, tmp_path: Path
) -> None:
    uid = settings.owner().uid
    work = tmp_path / "work"
    work.mkdir()
    work.chmod(0o755)
    text = fault_of(wish("jupyter"), StackFault.FOLDER, client)
    assert f"The service jupyter cannot use {work}" in text
    assert f"the container runs as user {uid}" in text
    assert f"`sudo chown -R {uid}:{uid} {work}`" in text

    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(work)], check=True)
    try:
        text = fault_of(wish("jupyter"), StackFault.FOLDER, client)
        assert "mounted read-only" in text
        assert "TRITON_LAB_WORK" in text
    finally:
        subprocess.run(["umount", str(work)], check=True)

    models = tmp_path / "models"
    (models / "a" / "1").mkdir(parents=True)
    secret = models / "a" / "config.pbtxt"
    secret.write_text('backend: "python"\n')
    secret.chmod(0o600)
    (models / ".git").mkdir(mode=0o700)  # what is hidden is no model
    text = fault_of(wish("triton", repository=models), StackFault.FOLDER, client)
    assert f"cannot use {secret}" in text
    assert f"`chmod -R go+rX {models}`" in text
    secret.chmod(0o644)
    (models / "a").chmod(0o700)
    text = fault_of(wish("triton", repository=models), StackFault.FOLDER, client)
    assert f"cannot use {models / 'a'}.\n" in text
    text = fault_of(wish("triton", repository=tmp_path / "absent"), StackFault.FOLDER, client)
    assert "It is not there" in text


def test_too_little_and_too_much_shared_memory(
    student: Path, wish: Callable[..., Wish], client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_LAB_SHM_SIZE", "64m")
    text = fault_of(wish("triton"), StackFault.SHARED_MEMORY, client)
    assert "only 64m of shared memory" in text
    assert "TRITON_LAB_SHM_SIZE" in text
    for size in ("9000g", str(9000 << 30)):  # in the words of either Compose
        with pytest.raises(StackError, match="more than this machine has memory"):
            check_shared_memory({"services": {"triton": {"shm_size": size}}}, ["triton"])


def test_a_gpu_is_asked_for_and_the_engine_has_none(
    student: Path, wish: Callable[..., Wish], client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_LAB_STACK_GPU_IMAGE", IMAGE)
    text = fault_of(wish("triton", gpu=True), StackFault.NO_GPU, client)
    assert "could not select device driver" in text
    assert "NVIDIA Container Toolkit" in text
    assert "leave `--gpu` out" in text


def test_containers_that_end(student: Path, wish: Callable[..., Wish], client: Any) -> None:
    words = ["--config.file=/etc/alertmanager/none.yml", "--storage.path=/alertmanager"]
    wrong = {"alertmanager": {"command": words}}
    # Of two services one ends: the other goes with it, since nothing ran before.
    text = fault_of(wish("alertmanager", "triton", more=wrong), StackFault.EXITED, client)
    assert "The container of alertmanager ended with exit code 1" in text
    assert "none.yml: no such file" in text
    log = Path(re.findall(r"The whole log: (\S+)", text)[0])
    assert "none.yml" in log.read_text()

    # A service that ends beside others that ran before: those stay.
    up(wish("alertmanager"))
    with pytest.raises(StackError) as caught:
        up(wish("triton", options="--log-verbose=very"))
    assert caught.value.fault is StackFault.EXITED
    assert "log-verbose" in str(caught.value)
    (left,) = client.containers.list(all=True)
    assert service_of(left) == "alertmanager"
    assert left.status == "running"


@for_authors
def test_a_container_that_runs_out_of_memory(
    student: Path, wish: Callable[..., Wish], client: Any, empty_repository: Path
) -> None:
    empty_repository.chmod(0o755)
    small = {"triton": {"mem_limit": "64m", "memswap_limit": "64m"}}
    stack, _ = up(
        wish("triton", more=small, options="--model-control-mode=none", repository=empty_repository)
    )
    try:
        with pytest.raises(httpx.HTTPError):  # Triton holds the whole request in memory
            httpx.post(f"{stack.urls['triton.http']}/v2/models/x/infer", content=bytes(300 << 20), timeout=30)
        with pytest.raises(StackError) as caught:
            check_alive(client, stack.project, ["triton"])
        assert caught.value.fault is StackFault.OUT_OF_MEMORY
        # The next `up` starts it again.
        again, _ = up(wish("triton"))
        assert httpx.get(f"{again.urls['triton.http']}/v2/health/ready").status_code == 200
    finally:
        down()


def test_one_that_never_becomes_healthy(student: Path, wish: Callable[..., Wish], client: Any) -> None:
    check = {"test": ["CMD", "/bin/amtool", "--version=no"], "interval": "1s", "retries": 2}
    text = fault_of(
        wish("alertmanager", more={"alertmanager": {"healthcheck": check}}), StackFault.NOT_HEALTHY, client
    )
    assert "The service alertmanager did not become healthy" in text
    assert "Its health check says" in text


@for_authors
def test_the_engine_stops_and_comes_back(
    student: Path, wish: Callable[..., Wish], client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with started_engine() as second, monkeypatch.context() as patch:
        patch.setenv("DOCKER_HOST", second.address)
        other = docker.DockerClient(base_url=second.address)
        other.images.load(b"".join(client.images.get(ALERTMANAGER).save(named=True)))
        with second.network():
            up(wish("alertmanager"))
        second.stop()
        for call in (lambda: up(wish("alertmanager")), down):
            with pytest.raises(EngineError) as caught:
                call()
            assert caught.value.fault is Fault.NO_ENGINE
        second.start()
        with second.network():
            stack, _ = up(wish("alertmanager"))
            assert httpx.get(f"{stack.urls['alertmanager']}/-/ready").status_code == 200
            down()
        assert other.containers.list(all=True) == []
        other.close()
