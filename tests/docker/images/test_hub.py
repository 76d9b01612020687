"""A real JupyterHub with its default spawner, in the Jupyter image. Authors only (TRITON_LAB_IMAGES=all).

That spawner starts a server for each user of one machine, here of one container, so the users share loopback.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.docker.images.build import ROOT, whole_images
from tests.docker.images.containers import container, inside, published, until_answers

pytestmark = [
    whole_images,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.usefixtures("in_network"),
]
TOKEN = "a-token-of-this-test"
CONFIG = f"""
c.JupyterHub.bind_url = "http://0.0.0.0:8000/class/"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:8081"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.ConfigurableHTTPProxy.command = ["python", "/proxy/bin/configurable-http-proxy"]
c.JupyterHub.services = [{{"name": "test", "api_token": "{TOKEN}"}}]
c.JupyterHub.load_roles = [
    {{"name": "test", "services": ["test"], "scopes": ["admin:users", "admin:servers", "access:servers"]}}
]
# ada's server is started by the spawner's own command, grace's by the image's.
c.Spawner.pre_spawn_hook = lambda spawner: setattr(
    spawner, "cmd", ["start-lab"] if spawner.user.name == "grace" else spawner.cmd
)
"""

AS_IN_A_NOTEBOOK = """
import os
import httpx, psutil

mine = [p for p in psutil.process_iter() if p.uids().real == os.getuid() and p.pid != os.getpid()]
single = next(p for p in mine if "jupyterhub-singleuser" in " ".join(p.cmdline()))
environment = single.environ()
os.environ.clear()
os.environ.update(environment)
from lab_utils import server as triton
from lab_utils.paths import project_root

options = ["--model-control-mode=explicit"]
server = triton.start(project_root() / "model_repository", name="mine", options=options, lifetime="kernel")
url = server.endpoints.http_url
print(httpx.get(f"{url}/v2/health/ready").status_code)
print(httpx.post(f"{url}/v2/repository/models/mnist_mlp/load").status_code)
print(os.environ["JUPYTERHUB_SERVICE_PREFIX"])
server.stop()
"""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JupyterHub's proxy, in Python: it is no part of the image, as a hub usually runs elsewhere."""
    folder = tmp_path_factory.mktemp("hub") / "proxy"
    words = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--target",
        str(folder),
        "configurable-http-proxy",
    ]
    answer = subprocess.run(words, capture_output=True, text=True, check=False)
    if answer.returncode:
        pytest.skip(f"configurable-http-proxy cannot be had: {answer.stderr.strip().splitlines()[-1]}")
    return folder


def ask(method: str, url: str) -> httpx.Response:
    return httpx.request(method, url, headers={"Authorization": f"token {TOKEN}"}, timeout=60)


def spawn(hub: str, name: str) -> None:
    """Start a user's server and wait until the hub says that it is ready."""
    assert ask("POST", f"{hub}/users/{name}").status_code in (201, 409)
    assert ask("POST", f"{hub}/users/{name}/server").status_code in (201, 202)
    end = time.monotonic() + 90
    while not ask("GET", f"{hub}/users/{name}").json()["servers"].get("", {}).get("ready"):
        assert time.monotonic() < end, ask("GET", f"{hub}/users/{name}").text
        time.sleep(0.5)


def test_two_users_of_one_hub(client: Any, jupyter_image: str, proxy: Path, tmp_path: Path) -> None:
    (tmp_path / "jupyterhub_config.py").write_text(CONFIG)
    port, opened = published(8000)
    command = (
        "useradd --create-home ada && useradd --create-home grace && cd /srv && jupyterhub -f /config.py"
    )
    with container(
        client,
        jupyter_image,
        ["sh", "-c", command],
        user="0",
        shm_size="1g",
        environment={"PYTHONPATH": "/proxy", "HOME": "/tmp/hub"},
        volumes=[f"{tmp_path}/jupyterhub_config.py:/config.py:ro", f"{proxy}:/proxy:ro"],
        **opened,
    ) as made:
        until_answers(made, f"http://127.0.0.1:{port}/class/hub/api")
        hub = f"http://127.0.0.1:{port}/class/hub/api"
        for name in ("ada", "grace"):
            spawn(hub, name)
            url = f"http://127.0.0.1:{port}/class/user/{name}/api/contents"
            assert httpx.get(url).status_code == 403, "who is nobody is let in"
            listed = ask("GET", url)
            assert listed.status_code == 200, made.logs(tail=60).decode()
            names = {entry["name"] for entry in listed.json()["content"]}
            assert {path.name for path in (ROOT / "labs").glob("*.ipynb")} <= names
            look = f"stat -c %U /home/{name}/work/01-*.ipynb && ls -d /home/{name}/.cache/triton-lab/models"
            code, text = inside(made, "sh", "-c", look)
            assert code == 0, text
            assert text.split()[0] == name
            _closed_to_the_other(made, name)


def _closed_to_the_other(made: Any, name: str) -> None:
    """A server that this user starts in a notebook wants its key for loading models."""
    code, text = inside(made, "python", "-c", AS_IN_A_NOTEBOOK, user=name)
    assert code == 0, text
    assert text.split()[-3:] == ["200", "403", f"/class/user/{name}/"], text
