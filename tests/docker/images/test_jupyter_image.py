"""The whole Jupyter image: plain, another user, a dev container. Authors only (TRITON_LAB_IMAGES=all)."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.docker.images.build import ROOT, whole_images
from tests.docker.images.containers import (
    container,
    inside,
    notebooks,
    published,
    run,
    until_healthy,
)
from tests.docker.images.project import copy_of_the_project

pytestmark = [
    whole_images,
    pytest.mark.slow,
    pytest.mark.timeout(2400),
    pytest.mark.usefixtures("in_network"),
]
USUAL: dict[str, Any] = {"shm_size": "1g", "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}


@pytest.mark.parametrize("user", [None, "4321:4321"], ids=["the image's user", "another user"])
def test_it_is_healthy_asks_for_a_token_and_runs_the_demo(
    client: Any, jupyter_image: str, tmp_path: Path, user: str | None
) -> None:
    (tmp_path / "token").write_text("a-token-of-this-test")
    (tmp_path / "token").chmod(0o644)
    port, opened = published(8888)
    options = {**USUAL, **opened, "user": user} if user else {**USUAL, **opened}
    with container(
        client,
        jupyter_image,
        volumes=[f"{tmp_path}/token:/run/secrets/jupyter_token:ro"],
        environment={"TRITON_LAB_JUPYTER_TOKEN_FILE": "/run/secrets/jupyter_token"},
        **options,
    ) as made:
        until_healthy(made)
        url = f"http://127.0.0.1:{port}/"
        assert httpx.get(f"{url}api/contents").status_code == 403
        names = notebooks(url, "a-token-of-this-test")
        assert {path.name for path in (ROOT / "labs").glob("*.ipynb")} <= set(names)
        assert inside(made, "id", "-u")[1].strip() == (user or "1000:").split(":")[0]
        code, text = inside(made, "triton-lab", "doctor", "--json")
        failed = [finding for finding in json.loads(text) if finding["status"] == "FAIL"]
        assert (code, failed) == (0, [])
        code, text = inside(made, "triton-lab", "demo")
        assert code == 0, text
        assert "agree bit for bit" in text
        code, text = inside(made, "sh", "-c", "touch /opt/triton-labs/lab_utils/x || touch /opt/venv/x")
        assert code != 0, "nobody but root may change the course"


def test_a_restart_keeps_the_work(client: Any, jupyter_image: str) -> None:
    volume = client.volumes.create()
    try:
        for first in (True, False):
            with container(
                client, jupyter_image, volumes=[f"{volume.name}:/home/user/work"], **USUAL
            ) as made:
                until_healthy(made)
                if first:
                    assert inside(made, "sh", "-c", "echo mine > /home/user/work/mine.txt")[0] == 0
                    made.stop(timeout=20)
                    made.reload()
                    assert made.attrs["State"]["ExitCode"] == 0
                else:
                    assert inside(made, "cat", "/home/user/work/mine.txt")[1] == "mine\n"
    finally:
        volume.remove(force=True)


@pytest.mark.parametrize("lab", ["01", "02"])
def test_the_complete_notebooks_pass_inside(client: Any, jupyter_image: str, lab: str) -> None:
    """With the embedded server in the container: what a student on a hub or Binder has."""
    (complete,) = (ROOT / "labs_solutions").glob(f"{lab}-*.ipynb")
    command = ["triton-lab", "check", lab, "--notebook", "/tmp/complete.ipynb"]
    code, text = run_long(client, jupyter_image, command, [f"{complete}:/tmp/complete.ipynb:ro"])
    assert code == 0, text[-4000:]


def test_nothing_of_the_build_is_left_in_it(client: Any, jupyter_image: str) -> None:
    image = client.images.get(jupyter_image)
    history = " ".join(layer["CreatedBy"] for layer in image.history())
    environment = " ".join(image.attrs["Config"]["Env"])
    for word in ("PIP_", "wheels", "--no-index ", "index-url"):
        assert word not in environment
    assert "PIP_" not in history
    assert "/wheels" not in history
    names = "-name '*.whl' -o -name pip.conf -o -name labs_solutions"
    look = f"find / -xdev \\( {names} \\) | grep -v -e ensurepip -e share/python-wheels"
    _, text = run(client, jupyter_image, ["sh", "-c", look], user="0", entrypoint=[])
    assert text.strip() == ""
    assert image.attrs["Config"]["User"] == "1000:1000"
    assert image.attrs["Config"]["Healthcheck"]["Test"] == ["CMD", "lab-health"]


def test_the_dev_container_runs_the_working_tree(client: Any, jupyter_image: str, tmp_path: Path) -> None:
    """What an editor does with devcontainer.json: the folder mounted, the command run as the remote user."""
    settings = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    place = "/workspaces/triton-labs"
    project = copy_of_the_project(tmp_path / "triton-labs", owner=1000)
    environment = {
        name: value.replace("${containerWorkspaceFolder}", place)
        for name, value in settings["remoteEnv"].items()
    }
    with container(
        client,
        jupyter_image,
        ["sleep", "600"],
        volumes=[f"{project}:{place}"],
        user="1000",
        shm_size="1g",
        entrypoint=[],
    ) as made:
        words = ["bash", "-c", settings["postCreateCommand"]]
        code, text = inside(made, *words, environment=environment, workdir=place)
        assert code == 0, text
        where = "import lab_utils.paths as paths; print(paths.project_root())"
        for tool in ("python", "/opt/venv/bin/python"):
            code, text = inside(made, tool, "-c", where, environment=environment)
            assert text.strip() == place, shlex.join([tool, "-c", where])
    assert (project / "model_repository" / "mnist_mlp" / "1" / "model.onnx").is_file()
    assert {p.stat().st_uid for p in (project / "work").glob("*.ipynb")} == {1000}


def run_long(client: Any, image: str, command: list[str], volumes: list[str]) -> tuple[int, str]:
    """A command that may take half an hour."""
    with container(client, image, command, volumes=volumes, **USUAL) as made:
        code = int(made.wait(timeout=1800)["StatusCode"])
        return code, made.logs().decode(errors="replace")
