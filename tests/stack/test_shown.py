"""The whole stack of whole images: built, up, all four complete notebooks beside it, down, nothing left.

Authors only (TRITON_LAB_IMAGES=all). Grafana is missing: no image of it can be made here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from lab_utils.progress.registry import Status
from lab_utils.progress.rerun import check_lab
from tests.docker.images.build import BASE, ROOT, WHEELS, whole_images
from tests.docker.images.conftest import wheels
from tests.docker.real_engine import RealEngine
from tests.house.conftest import run_cli
from tests.stack.test_up_down import everything, wait_for

__all__ = ["wheels"]
pytestmark = [whole_images, pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(3600)]
COMPLETE = sorted((ROOT / "labs_solutions").glob("*.ipynb"))
SERVICES = ("jupyter", "triton", "prometheus")


@pytest.fixture(scope="module")
def stack(
    engine: RealEngine, client: Any, wheels: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """`triton-lab up --build`, as an author without a registry types it; at the end `triton-lab down`."""
    folder = tmp_path_factory.mktemp("stack")
    # Debian's programs stand in for the official images of Prometheus and Alertmanager.
    services = {
        "prometheus": {"entrypoint": ["/usr/bin/prometheus"]},
        "alertmanager": {"entrypoint": ["/usr/bin/prometheus-alertmanager"]},
    }
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump({"services": services}))
    settings = {
        "DOCKER_HOST": engine.address,
        "TRITON_LAB_HOME": str(folder / "home"),
        "TRITON_LAB_WORK": str(folder / "work"),
        "TRITON_LAB_PYTHON_BASE": BASE,
        "TRITON_LAB_DEBIAN_BASE": BASE,
        "TRITON_LAB_WHEELS": WHEELS,
        "PIP_NO_INDEX": "1",
        "TRITON_LAB_PROMETHEUS_IMAGE": BASE,
        "TRITON_LAB_ALERTMANAGER_IMAGE": BASE,
        "TRITON_LAB_RUNTIME": "docker",
        "TRITON_LAB_IPC": "host",  # Lab 1 shares memory with the server
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        for name in ("TRITON_LAB_IMAGE", "TRITON_LAB_MOUNTS"):
            patch.delenv(name, raising=False)
        with engine.network():
            answer = run_cli(["up", *SERVICES, "--build", f"--file={file}", "--json", "--timeout=300"], 3000)
            assert answer.returncode == 0, answer.stderr[-5000:]
            yield json.loads(answer.stdout)
            removed = run_cli(["down"], 120)
            assert "The stack is down." in removed.stdout, removed.stderr
            assert everything(client) == []


def test_every_service_does_its_work(stack: dict[str, Any]) -> None:
    assert stack["notes"] == []
    urls = stack["urls"]
    index = httpx.post(f"{urls['triton.http']}/v2/repository/index").json()
    ready = {entry["name"] for entry in index if entry.get("state") == "READY"}
    assert {"mnist_mlp", "digits_pipeline", "digits_cnn"} <= ready
    assert wait_for(urls["prometheus"], 'up{job="triton"} == 1')
    token = Path(stack["secrets"]["jupyter_token"]).read_text()
    answer = httpx.get(f"{urls['jupyter']}/api/contents", params={"token": token})
    assert sum(entry["name"].endswith(".ipynb") for entry in answer.json()["content"]) == len(COMPLETE)


@pytest.mark.parametrize("notebook", COMPLETE, ids=lambda path: f"lab{path.name[:2]}")
def test_the_complete_notebook_passes_beside_it(notebook: Path, stack: dict[str, Any]) -> None:
    """The labs' own containers take the stack's image."""
    report = check_lab(notebook.name[:2], notebook, cell_timeout=600, total_timeout=3000)
    said = [f"{r.checkpoint.id} {r.verdict.status.value}: {r.verdict.found}" for r in report.results]
    assert report.finished, f"{report.reason}\n" + "\n".join([*report.unexpected, *said])
    assert [line for line in said if Status.PASS.value not in line] == []
    assert report.unexpected == ()
