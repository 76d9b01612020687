"""The README's promises: its commands exist, its links lead somewhere, the two commands stand first."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from lab_utils import paths
from tests.house.conftest import run_cli

ROOT = paths.project_root()
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
CODE = "\n".join(re.findall(r"```.*?```|`[^`]+`", README, re.S))


def test_the_two_commands_stand_first():
    first = re.search(r"```bash\n(.*?)```", README, re.S)
    assert first
    lines = first[1].strip().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("git clone ")
    assert lines[1] == "make lab"
    assert README.index(lines[1]) < README.index("docs/images/lab01.png") < README.index("## Who it is for")


def test_every_make_target_and_variable_exists():
    targets = set(re.findall(r"\bmake ([a-z]+)", CODE))
    assert {"lab", "demo", "test", "notebooks", "clean"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", MAKEFILE, re.M), f"make {target}"
    for variable in set(re.findall(r"\b([A-Z_]+)=", CODE)) & {"PYTHON", "PIP_FLAGS", "EXTRAS", "LAB_FLAGS"}:
        assert re.search(rf"^{variable} \?=", MAKEFILE, re.M), variable


def test_every_triton_lab_command_exists():
    commands = set(
        re.findall(r"`(?:triton-lab )?([a-z-]+)[^`]*`", "\n".join(re.findall(r"^\| .*", README, re.M)))
    )
    named = set(re.findall(r"triton-lab ([a-z-]+)", CODE))
    assert {"doctor", "start", "lab", "check", "reset"} <= named | commands
    help_text = run_cli(["--help"], 60).stdout
    for command in named:
        assert f" {command} " in help_text, f"triton-lab {command}"


def test_every_relative_link_leads_somewhere():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert len(links) >= 3
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_table_of_labs_says_what_the_notebooks_say():
    table = README.split("## What is in it")[1].split("##")[0]
    rows = re.findall(r"^\| (\d\d) (.+?) \|.*\| (\S+) min \|$", table, re.M)
    sources = sorted((ROOT / "labs_solutions").glob("*.py"))
    told = []
    for source in sources:
        text = source.read_text()
        title, time = (
            re.search(r"^# # Lab \d: (.+)$", text, re.M),
            re.search(r"^# \| Time \| (\S+) min", text, re.M),
        )
        assert title, source.name
        assert time, source.name
        told.append((source.name[:2], title[1], time[1]))
    assert rows == told


def test_every_folder_of_the_layout_table_exists():
    table = README.split("## What lies where")[1].split("##")[0]
    folders = re.findall(r"`([a-z_.]+/)`", table)
    assert len(folders) >= 8
    assert [f for f in folders if f != "work/" and not (ROOT / f).is_dir()] == []


def dry_run(venv: Path, *arguments: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    answer = subprocess.run(
        ["make", "-n", f"VENV={venv}", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """An environment that was installed a moment ago, as the Makefile sees it."""
    folder = tmp_path / "venv"
    folder.mkdir()
    (folder / ".installed-torch").touch()
    return folder


def test_the_second_run_of_make_lab_installs_nothing(venv):
    assert "pip install" not in dry_run(venv, "lab")
    assert "triton-lab lab" in dry_run(venv, "lab")


def test_changed_pins_are_installed_again(venv):
    text = dry_run(venv, "lab", "-W", "constraints.txt")
    assert '-e ".[torch]" -c constraints.txt' in text


def test_extras_python_and_pip_flags_reach_pip(tmp_path):
    text = dry_run(tmp_path / "new", "install", "EXTRAS=", "PYTHON=python3.12", "PIP_FLAGS=--no-index")
    assert 'PYTHON="python3.12"' in text
    assert "--no-index" in text
    assert '-e "." -c constraints.txt' in text


def test_pytest_is_the_last_thing_that_make_test_runs(venv):
    last = dry_run(venv, "test", "PYTEST_FLAGS=-x").strip().splitlines()[-1]
    assert last.endswith("-m pytest -n 3 --dist loadscope --no-loadscope-reorder -x")
    alone = dry_run(venv, "test", "WORKERS=0").strip().splitlines()[-1]
    assert "-m pytest -n 0 " in alone


def test_ci_calls_make_test_and_hands_its_status_on():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text().strip().splitlines()
    assert lines[-1] == "make test"
    assert "export CI=true" in lines
