"""`triton-lab up` and `down`, as they are typed, on the smallest stack. test_up_down.py has a larger one."""

from __future__ import annotations

import json
from pathlib import Path

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
