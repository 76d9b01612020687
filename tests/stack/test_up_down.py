"""The stack on a real engine: up, used by the labs, and down with nothing left."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pytest

from lab_utils.monitoring import tools
from lab_utils.progress.rerun import check_lab
from lab_utils.server.docker import DockerServer
from lab_utils.server.docker_settings import DEFAULT_IMAGE, DockerSettings
from lab_utils.stack import settings, state, targets
from lab_utils.stack.after import programs
from lab_utils.stack.faults import StackError
from lab_utils.stack.run import down, up
from lab_utils.stack.state import StackState
from lab_utils.stack.wish import Wish
from tests.docker.real_engine import IMAGE
from tests.house.conftest import run_cli
from tests.stack.conftest import ALERTMANAGER, PROMETHEUS

SHOW = """
from lab_utils.server.docker_settings import DockerSettings
open("{file}", "w").write(DockerSettings.from_environment().image)
"""
SERVICES = ("jupyter", "triton", "prometheus")
PORTS = (8888, 8000, 8001, 8002, 9090, 9093)


def ask(url: str, promql: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{url}/api/v1/query", params={"query": promql}, trust_env=False).json()
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def wait_for(url: str, promql: str, seconds: float = 30.0) -> list[dict[str, Any]]:
    end = time.monotonic() + seconds
    while not (found := ask(url, promql)):
        assert time.monotonic() < end, (promql, ask(url, "up"))
        time.sleep(0.2)
    return found


def everything(client: Any) -> list[str]:
    """Containers, networks and volumes of the engine that are not its own."""
    return [
        *(c.name for c in client.containers.list(all=True)),
        *(n.name for n in client.networks.list() if n.name not in ("bridge", "host", "none")),
        *(v.name for v in client.volumes.list()),
    ]


def test_up_is_used_by_the_labs_and_down_leaves_nothing(
    student: Path, wish: Callable[..., Wish], client: Any, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert DockerSettings.from_environment().image == DEFAULT_IMAGE
    models = student / "models"
    shutil.copytree(repository, models)
    (models / "broken" / "1").mkdir(parents=True)
    (models / "broken" / "config.pbtxt").write_text('platform: "onnxruntime_onnx"\nmax_batch_size: 8\n')
    wanted = wish(*SERVICES, repository=models)
    told: list[str] = []
    stack, notes = up(wanted, told.append)
    assert [note.partition(":")[0] for note in notes] == ["The model broken was not loaded"]
    assert "alertmanager" in told[-1]  # prometheus depends on it
    assert stack.urls["triton.http"] == "http://127.0.0.1:8000"

    # Triton serves the repository, and Prometheus reads it.
    assert httpx.get(f"{stack.urls['triton.http']}/v2/models/scores/ready").status_code == 200
    assert wait_for(stack.urls["prometheus"], 'up{job="triton"} == 1')
    (manager,) = httpx.get(f"{stack.urls['prometheus']}/api/v1/alertmanagers").json()["data"][
        "activeAlertmanagers"
    ]
    assert manager["url"].startswith("http://alertmanager:9093/")

    # The secrets are random and this user's alone; JupyterLab wants its token.
    secret = Path(stack.secrets["jupyter_token"])
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    assert len(secret.read_text()) >= 24
    api = f"{stack.urls['jupyter']}/api/contents"
    assert httpx.get(api).status_code == 403
    answer = httpx.get(api, params={"token": secret.read_text()})
    assert answer.status_code == 200
    assert any(entry["name"].endswith(".ipynb") for entry in answer.json()["content"])
    assert {p.stat().st_uid for p in (student / "work").rglob("*.ipynb")} == {settings.owner().uid}

    # A second call, as it is typed: it changes nothing, and prints the addresses.
    before = {c.id for c in client.containers.list()}
    typed = ["up", *SERVICES, *(f"--file={file}" for file in wanted.files), f"--repository={models}"]
    printed = run_cli(typed, 120)
    assert printed.returncode == 0, printed.stderr
    assert {c.id for c in client.containers.list()} == before
    assert f"  JupyterLab    {stack.urls['jupyter']}/lab?token={secret.read_text()}\n" in printed.stdout
    assert f"  Triton HTTP   {stack.urls['triton.http']}\n" in printed.stdout
    assert "Note: The model broken was not loaded: " in printed.stdout
    assert printed.stdout.endswith("Stop: triton-lab down\n")
    assert state.read() == stack

    # A server of the labs takes the stack's image, and Prometheus reads it until it ends.
    assert DockerSettings.from_environment().image == IMAGE
    assert checked_with(student) == IMAGE
    mounts = ",".join(mount.removesuffix(":ro") for mount in read_mounts(client, stack.project))
    monkeypatch.setenv("TRITON_LAB_MOUNTS", mounts)
    server = DockerServer(repository, name="lab04", lifetime="kernel", wait_for=["scores"]).start()
    try:
        up_now = 'up{job="triton-labs", server="lab04"} == 1'
        assert wait_for(stack.urls["prometheus"], up_now)
        embedded_in_jupyter(client, stack.project)
        assert wait_for(stack.urls["prometheus"], 'up{job="triton-labs", server="inside"} == 1')
    finally:
        # Down while a lab's server runs: it goes on.
        removed = down()
        assert server.alive()
        assert httpx.get(f"{server.endpoints.http_url}/v2/health/ready").status_code == 200
        server.stop(timeout=0)
    kinds = [one.split()[0] for one in removed]
    assert sorted(kinds) == ["container"] * 4 + ["network"] + ["volume"] * 3
    assert everything(client) == []
    assert state.read() is None
    assert not settings.secrets_folder().exists()
    assert not state.targets_folder().exists()
    for port in PORTS:
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", port))
    assert down() == []


def checked_with(folder: Path) -> str:
    """The image that a lab's notebook gets when it is checked: that run has a state folder of its own."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SHOW.format(file=folder / "image"))])
    nbformat.write(book, folder / "show.ipynb")
    check_lab("01", folder / "show.ipynb")
    return (folder / "image").read_text()


def read_mounts(client: Any, project: str) -> list[str]:
    """What the test's compose file mounts into Triton, but for the repository."""
    triton = client.containers.get(f"{project}-triton")
    return [bind for bind in triton.attrs["HostConfig"]["Binds"] if ":/models" not in bind]


def embedded_in_jupyter(client: Any, project: str) -> None:
    """Start an embedded server in the stack's JupyterLab, as a notebook would."""
    code = (
        "import pathlib, lab_utils.server as t; p = pathlib.Path('/tmp/empty'); p.mkdir(exist_ok=True); "
        "print(t.start(p, name='inside', lifetime='session').endpoints.metrics)"
    )
    jupyter = client.containers.get(f"{project}-jupyter")
    answer = jupyter.exec_run(["python3", "-c", code])
    assert answer.exit_code == 0, answer.output.decode()


def test_volumes_can_be_kept(student: Path, wish: Callable[..., Wish], client: Any) -> None:
    stack, _ = up(wish("alertmanager"))
    assert set(stack.images) == {"alertmanager"}
    removed = down(keep_volumes=True)
    assert [one for one in removed if one.startswith("volume")] == []
    assert f"{stack.project}_alertmanager-data" in [v.name for v in client.volumes.list()]
    assert settings.secrets_folder().is_dir()
    # A start that fails does not take them either.
    wrong = {"alertmanager": {"command": ["--no-such-option"]}}
    with pytest.raises(StackError):
        up(wish("alertmanager", more=wrong))
    assert client.containers.list(all=True) == []
    assert f"{stack.project}_alertmanager-data" in [v.name for v in client.volumes.list()]
    assert [one for one in down() if one.startswith("volume")]
    assert everything(client) == []


def test_a_server_that_vanished_is_not_read_for_ever(student: Path, client: Any) -> None:
    settings.make_folders(settings.owner())
    gone, inside = state.targets_folder() / "0123456789ab.json", state.targets_folder() / "cd.json"
    gone.write_text('[{"targets": ["triton-lab-me-lab04:8002"]}]')
    inside.write_text('[{"targets": ["jupyter:40001"]}]')
    targets.prune(client)
    assert not gone.exists()
    assert inside.exists()  # another network's: JupyterLab itself looks after those
    os.environ[targets.VARIABLE] = str(state.targets_folder())
    try:
        assert targets.announce("ef", "lab01", 1)
        assert not inside.exists()  # nobody listens there any more
    finally:
        del os.environ[targets.VARIABLE]
    assert not targets.inside()
    assert not targets.announce("ef", "lab01", 1)


def test_lab_4_takes_its_programs_out_of_the_images_of_the_stack(
    student: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = StackState("p", "n", images={"prometheus": PROMETHEUS, "alertmanager": ALERTMANAGER})
    assert programs(stack) == []  # this machine has them
    for setting in set(tools.SETTINGS.values()):
        monkeypatch.delenv(setting)
    monkeypatch.setenv("PATH", str(student))
    monkeypatch.setenv("TRITON_LAB_CACHE", str(student / "cache"))
    assert not tools.has_prometheus()
    assert programs(StackState("p", "n", images={"prometheus": PROMETHEUS})) == []
    (note,) = programs(stack)
    assert "Lab 4 uses the Prometheus and the Alertmanager of these images" in note
    assert tools.find_tool("prometheus").is_relative_to(student / "cache")
    assert tools.has_prometheus()
    assert tools.has_alertmanager()
    # Without them the stack runs as well; the note says what Lab 4 will lack.
    monkeypatch.setenv("TRITON_LAB_CACHE", str(student / "other"))
    monkeypatch.setenv("TRITON_LAB_ALERTMANAGER_IMAGE", "mine/none:1")
    (note,) = programs(stack)
    assert "`mine/none:1` is not on this machine" in note
