"""`triton-lab up` and `down`, as they are typed, on the smallest stack. test_up_down.py has a larger one."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from lab_utils.cli import stack as commands
from lab_utils.stack import state
from tests.house.conftest import run_cli


def test_json_is_all_that_is_printed(student: Path, override: Path) -> None:
    answer = run_cli(["up", "alertmanager", f"--file={override}", "--json"], 120)
    assert answer.returncode == 0, answer.stderr
    facts = json.loads(answer.stdout)
    assert facts["urls"] == {"alertmanager": "http://127.0.0.1:9093"}
    assert facts["notes"] == []
    found = state.read()
    assert found is not None
    assert {name: facts[name] for name in found.as_dict()} == found.as_dict()
    token = Path(facts["secrets"]["jupyter_token"]).read_text()
    assert token not in answer.stdout  # its file is named, not what is in it

    removed = json.loads(run_cli(["down", "--json"], 120).stdout)["removed"]
    assert [one.split()[0] for one in removed] == ["container", "network", *["volume"] * 3]
    assert "was not running" in run_cli(["down"], 60).stdout


def test_an_error_is_a_message(student: Path, override: Path) -> None:
    answer = run_cli(["up", "jupiter", f"--file={override}"], 60)
    assert answer.returncode == 1
    assert "The stack has no service `jupiter`." in answer.stderr
    assert "Next:" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_where_users_share_the_machine_nobody_loads_models_into_it(
    student: Path, override: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (repository, *repository.parents[:1]):
        folder.chmod(0o755)
    typed = ["up", "triton", f"--file={override}", f"--repository={repository}", "--json"]
    for shared, status in (("0", 200), ("1", 503)):
        monkeypatch.setenv("TRITON_LAB_SHARED_HOST", shared)
        answer = run_cli(typed, 120)
        assert answer.returncode == 0, answer.stderr
        url = json.loads(answer.stdout)["urls"]["triton.http"]
        assert httpx.get(f"{url}/v2/models/scores/ready").status_code == 200
        loaded = httpx.post(f"{url}/v2/repository/models/scores/load")
        assert loaded.status_code == status, loaded.text
        run_cli(["down"], 120)
    # Without --repository: the worked examples that are served at once, and no other model is in reach.
    models, options, left_out = commands._examples()
    assert (options, left_out) == ("--model-control-mode=none", [])
    assert "mnist_mlp" in {path.name for path in models.iterdir()}
    assert "llama" not in {path.name for path in models.iterdir()}
