"""One repository, one set of requests: the embedded server and the container say the same.

By default the container runs the embedded server's own program. `TRITON_LAB_PARITY_IMAGE` names another
image, such as NGC's, which must be on the machine; then the named differences are allowed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab_utils import paths
from lab_utils import server as triton
from lab_utils.server.docker_line import MODELS as MOUNTED
from tests.docker.parity import differences
from tests.docker.parity.repository import MODELS, write_repository

OTHER_IMAGE = os.environ.get("TRITON_LAB_PARITY_IMAGE", "")
OPTIONS = ["--model-control-mode=explicit", *(f"--load-model={model}" for model in MODELS)]
Answers = dict[str, Any]


def ask(runtime: str, repository: Path) -> Answers:
    """All answers of a server that is started for it."""
    server = triton.start(
        repository,
        name=f"parity-{runtime}",
        runtime=runtime,
        options=OPTIONS,
        lifetime="kernel",
        wait_for=MODELS,
        timeout=120,
    )
    try:
        line = [sys.executable, "-m", "tests.docker.parity.asking", *server.endpoints.as_dict().values()]
        answer = subprocess.run(
            line, cwd=paths.project_root(), capture_output=True, text=True, timeout=120, check=False
        )
        assert answer.returncode == 0, answer.stderr
        found: Answers = json.loads(answer.stdout)
        return found
    finally:
        server.stop()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_repository(tmp_path_factory.mktemp("parity") / "repository")


@pytest.fixture
def both(repository: Path, settings: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Answers, Answers]:
    """The answers of the embedded server and of the container."""
    if OTHER_IMAGE:
        monkeypatch.delenv("DOCKER_HOST")
        monkeypatch.delenv("TRITON_LAB_MOUNTS")
        monkeypatch.setenv("TRITON_LAB_IMAGE", OTHER_IMAGE)
    return ask("embedded", repository), ask("docker", repository)


def test_both_say_the_same(both: tuple[Answers, Answers], repository: Path) -> None:
    embedded, container = both
    found = list(differences.compare(embedded, container, (str(repository), MOUNTED)))
    assert differences.unexplained(found, same_program=not OTHER_IMAGE) == []
    # The comparison has seen something: answers, refusals, counters, and the one sure difference.
    said = [answer["status"] for answer in embedded["HTTP"].values()]
    assert said.count(200) >= 30
    assert sum(400 <= status < 600 for status in said) >= 30
    assert {"config", "infer"} <= {name for name, answer in embedded["gRPC"].items() if "answer" in answer}
    assert len([1 for answer in embedded["gRPC"].values() if answer.get("code")]) >= 8
    assert set(embedded["statistics"]) >= set(MODELS)
    assert embedded["statistics"]["scores"]["inference_stats"]["success"]["count"] > 5
    assert "nv_inference_request_success" in {name.removesuffix("_total") for name in embedded["metrics"]}
    covered = {d.name for d in differences.DIFFERENCES for unlike in found if d.covers(unlike)}
    assert covered >= {d.name for d in differences.DIFFERENCES if d.always}


def test_the_page_lists_the_same_differences() -> None:
    page = (paths.project_root() / "docs" / "runtimes.md").read_text()
    section = re.search(r"^### What the comparison allows\n(.*?)(?=^##)", page, re.DOTALL | re.MULTILINE)
    assert section is not None
    names = re.findall(r"^\| (?!difference)([^|-][^|]*?) \|", section[1], re.MULTILINE)
    assert names == [difference.name for difference in differences.DIFFERENCES]


def test_a_difference_without_a_name_is_found() -> None:
    """A comparison that cannot fail is none."""
    roots = ("/a", "/models")

    def answer(status: int, version: str, path: str) -> Answers:
        said = {"status": status, "content": {"version": version, "error": f"line 3 of {path}/m/1/model.py"}}
        return {"HTTP": {"00 GET /v2 null": said}}

    one, other = answer(200, "2.51.0", "/a"), answer(200, "2.52.0", "/models")
    found = list(differences.compare(one, other, roots))
    assert [unlike.place.rpartition("> ")[2] for unlike in found] == ["(path)", "version"]
    assert differences.unexplained(found, same_program=False) == []
    (left,) = differences.unexplained(found, same_program=True)
    assert left.endswith("version: embedded '2.51.0', container '2.52.0'")
    found = list(differences.compare(one, answer(500, "2.51.0", "/elsewhere"), roots))
    assert len(differences.unexplained(found, same_program=False)) == 2
    found = list(differences.compare(one, {"HTTP": {}}, roots))
    assert len(differences.unexplained(found, same_program=False)) == 1
