"""What Binder does with the folder `binder/`, in the same image. Authors only (TRITON_LAB_IMAGES=all).

conda itself is not here. It would make a Python and then hand the `pip` part of environment.yml to pip, from
the file's own folder; that part, postBuild and start are run as repo2docker runs them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docker.images.build import ROOT, whole_images
from tests.docker.images.containers import container, inside, notebooks, published, until_answers
from tests.docker.images.project import copy_of_the_project

pytestmark = [
    whole_images,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.usefixtures("in_network"),
]
PLACE = "/home/user/triton-labs"


def test_a_binder_builds_and_opens(client: Any, jupyter_image: str, wheels: Path, tmp_path: Path) -> None:
    project = copy_of_the_project(tmp_path / "triton-labs", owner=1000)
    parts = yaml.safe_load((ROOT / "binder" / "environment.yml").read_text())["dependencies"]
    (pip,) = [part["pip"] for part in parts if isinstance(part, dict)]
    (project / "binder" / "condaenv.requirements.txt").write_text("\n".join(pip) + "\n")
    environment = {
        # Nothing of the image's own environment but its Python.
        "PATH": "/tmp/conda/bin:/usr/local/bin:/usr/bin:/bin",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": "/wheels",
        "HOME": "/home/user",
    }
    port, opened = published(8888)
    with container(
        client,
        jupyter_image,
        ["sleep", "1500"],
        entrypoint=[],
        volumes=[f"{project}:{PLACE}", f"{wheels}:/wheels:ro"],
        environment=environment,
        **opened,
    ) as made:
        for words, folder in (
            (["python3", "-m", "venv", "/tmp/conda"], PLACE),
            (["pip", "install", "-q", "-r", "condaenv.requirements.txt"], f"{PLACE}/binder"),
            (["./binder/postBuild"], PLACE),
        ):
            code, text = inside(made, *words, workdir=folder)
            assert code == 0, text[-4000:]
        command = ["./binder/start", "jupyter", "lab", "--ip=0.0.0.0", "--IdentityProvider.token=secret"]
        made.exec_run(command, workdir=PLACE, detach=True)
        url = f"http://127.0.0.1:{port}/"
        assert until_answers(made, f"{url}api").status_code == 200
        assert {"work", "labs"} <= set(notebooks(url, "secret"))
        names = inside(made, "ls", f"{PLACE}/work")[1].split()
        assert {path.name for path in (ROOT / "labs").glob("*.ipynb")} <= set(names)
        code, text = inside(made, "triton-lab", "demo")
        assert code == 0, text
