"""The start of the Jupyter image, with its own scripts, in the test image: in seconds, without a build."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab_utils import paths
from tests.docker.images.containers import (
    container,
    inside,
    notebooks,
    published,
    run,
    until_answers,
)
from tests.docker.real_engine import IMAGE

ROOT = paths.project_root()
SCRIPTS = ROOT / "docker" / "image"
ANYBODY = 12345
Options = Callable[..., dict[str, Any]]


@pytest.fixture
def student(tmp_path: Path, mounts: str, in_network: None) -> Options:
    """Options of a container for a user whom no image knows, with a home and a work folder of theirs."""
    (tmp_path / "home" / "work").mkdir(parents=True)
    for folder in (tmp_path / "home", tmp_path / "home" / "work"):
        os.chown(folder, ANYBODY, ANYBODY)
    system = [f"{mount}:ro" for mount in mounts.split(",") if "/opt/tritonserver" not in mount]

    def options(*more: str, home: str = "rw", **environment: str) -> dict[str, Any]:
        return {
            "user": f"{ANYBODY}:{ANYBODY}",
            "environment": {
                "PATH": f"{SCRIPTS}:{sys.prefix}/bin:/usr/bin:/bin",
                "JUPYTER_CONFIG_PATH": str(SCRIPTS),
                "JUPYTER_RUNTIME_DIR": "/tmp/jupyter-runtime",
                "HOME": "/home/user",
                "LANG": "C.UTF-8",
                "PYTHONPATH": str(ROOT),
                **environment,
            },
            "volumes": [*system, f"{ROOT}:{ROOT}:ro", f"{tmp_path}/home:/home/user:{home}", *more],
        }

    return options


def test_jupyterlab_for_any_user_at_any_port_and_base_url(
    client: Any, student: Options, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("a-token-of-this-test\n")
    port, opened = published(9999)
    options = student(
        f"{tmp_path}/token:/run/secrets/token:ro",
        TRITON_LAB_JUPYTER_TOKEN_FILE="/run/secrets/token",
        TRITON_LAB_JUPYTER_BASE_URL="/class/",
        JUPYTER_PORT="9999",
        JUPYTER_TOKEN="",
    )
    with container(client, IMAGE, ["lab-entry", "start-lab"], **options, **opened) as made:
        url = f"http://127.0.0.1:{port}/class/"
        assert until_answers(made, f"{url}api").status_code == 200
        assert httpx.get(f"{url}api/contents").status_code == 403
        wrong = {"Authorization": "token another"}
        assert httpx.get(f"{url}api/contents", headers=wrong).status_code == 403
        names = notebooks(url, "a-token-of-this-test")
        assert {path.name for path in (ROOT / "labs").glob("*.ipynb")} <= set(names)
        assert inside(made, "python", str(SCRIPTS / "lab-health"))[0] == 0
        made.stop(timeout=20)
        made.reload()
        assert made.attrs["State"]["ExitCode"] == 0, made.logs(tail=40).decode()
    owners = {path.stat().st_uid for path in (tmp_path / "home" / "work").glob("*.ipynb")}
    assert owners == {ANYBODY}


def test_an_empty_token_never_opens_the_door(client: Any, student: Options, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    mount = f"{tmp_path}/empty:/run/secrets/token:ro"
    named = student(mount, TRITON_LAB_JUPYTER_TOKEN_FILE="/run/secrets/token")
    code, log = run(client, IMAGE, ["lab-entry", "start-lab"], **named)
    assert code != 0
    assert "The token of JupyterLab is empty" in log
    port, opened = published(8888)
    with container(client, IMAGE, ["lab-entry", "start-lab"], **student(JUPYTER_TOKEN=""), **opened) as made:
        url = f"http://127.0.0.1:{port}/"
        assert until_answers(made, f"{url}api").status_code == 200
        assert httpx.get(f"{url}api/contents").status_code == 403


@pytest.mark.parametrize(
    ("mode", "owner", "cause", "mend"),
    [
        ("rw", 0, "it belongs to user 0, and this container runs as user 12345", "--user"),
        ("ro", ANYBODY, "it is mounted read-only", "without :ro"),
    ],
    ids=["wrong owner", "read-only"],
)
def test_a_work_folder_that_cannot_be_written_is_said_with_cause_and_mend(
    client: Any, student: Options, tmp_path: Path, mode: str, owner: int, cause: str, mend: str
) -> None:
    (tmp_path / "work").mkdir(mode=0o755)
    os.chown(tmp_path / "work", owner, owner)
    code, log = run(
        client,
        IMAGE,
        ["lab-entry", "start-lab"],
        **student(f"{tmp_path}/work:/home/user/work:{mode}"),
    )
    assert code == 1
    assert "The work folder /home/user/work cannot be written." in log
    assert cause in log
    assert mend in log


@pytest.mark.parametrize("variables", [{}, {"JUPYTERHUB_API_TOKEN": "x"}], ids=["alone", "of a hub"])
def test_root_is_refused_with_cause_and_mend(
    client: Any, student: Options, variables: dict[str, str]
) -> None:
    options = {**student(**variables), "user": "0:0"}
    code, log = run(client, IMAGE, ["lab-entry", "start-lab"], **options)
    assert code == 1
    assert "JupyterLab does not start as root in this container." in log
    assert "Why:  every notebook could then change, as root" in log
    assert "--user 1000:1000" in log
    assert "chown -R 1000:1000" in log


# Root in a user namespace of user 12345, as in a container of a rootless engine.
ROOTLESS = [
    *("setpriv", f"--reuid={ANYBODY}", f"--regid={ANYBODY}", "--clear-groups"),
    *("unshare", "--user", "--map-root-user"),
]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be root, and become somebody else")
@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [([], ["--allow-root"], "--allow-root"), (ROOTLESS, ["--port=1"], "--allow-root --port=1")],
    ids=["told so", "rootless engine"],
)
def test_root_may_where_jupyter_is_told_so_or_the_engine_is_rootless(
    before: list[str], after: list[str], expected: str
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own folder is closed to other users
        Path(folder).chmod(0o777)
        jupyter, script = Path(folder, "jupyter"), Path(folder, "start-lab")
        jupyter.write_text('#!/bin/sh\necho "jupyter $*"\n')
        jupyter.chmod(0o755)
        script.write_bytes((SCRIPTS / "start-lab").read_bytes())
        variables = {"PATH": f"{folder}:/usr/bin:/bin", "HOME": folder}
        answer = subprocess.run(
            [*before, "sh", str(script), *after], env=variables, capture_output=True, text=True, check=False
        )
    if "unshare: " in answer.stderr:
        pytest.skip(f"no user namespace can be made here: {answer.stderr.strip()}")
    assert answer.stdout.strip() == f"jupyter lab {expected}", answer.stderr


def test_a_home_that_cannot_be_written_gets_a_stand_in(client: Any, student: Options) -> None:
    code, log = run(
        client, IMAGE, ["lab-entry", "sh", "-c", "echo home: $HOME; touch $HOME/x"], **student(home="ro")
    )
    assert code == 0, log
    assert "home: /tmp/tmp." in log
    assert "What is written there ends with the container" in log


def test_the_models_of_the_image_are_copied_once_to_the_users_own_cache(
    client: Any, student: Options, tmp_path: Path
) -> None:
    (tmp_path / "seed" / "models").mkdir(parents=True)
    (tmp_path / "seed" / "models" / "weights").write_text("trained")
    seed = f"{tmp_path}/seed:/opt/triton-lab-cache:ro"
    own = tmp_path / "home" / ".cache" / "triton-lab" / "models" / "weights"
    for _ in range(2):
        code, log = run(client, IMAGE, ["lab-entry", "true"], **student(seed))
        assert code == 0, log
        assert own.stat().st_uid == ANYBODY
        assert own.read_text() in ("trained", "changed by the user")
        own.write_text("changed by the user")
    assert own.read_text() == "changed by the user"
    assert [p.name for p in own.parents[2].iterdir()] == ["triton-lab"]
