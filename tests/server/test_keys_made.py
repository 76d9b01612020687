"""When a server gets a key, what is done where it cannot be hidden, and the command that shows it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab_utils import paths
from lab_utils.server import ServerError, keys
from tests.server.test_keys import EXPLICIT, Start, shared

__all__ = ["shared"]
pytestmark = pytest.mark.live


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"JUPYTERHUB_SERVICE_PREFIX": "/user/ada/"}, True),
        ({"JUPYTERHUB_SERVICE_PREFIX": "/user/ada/", "TRITON_LAB_SHARED_HOST": "0"}, False),
        ({"TRITON_LAB_SHARED_HOST": "1"}, True),
    ],
)
def test_when_a_machine_counts_as_shared(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: bool
) -> None:
    for name in ("JUPYTERHUB_SERVICE_PREFIX", keys.SHARED_HOST_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert keys.shared_host() is expected


def test_a_setting_that_is_neither_yes_nor_no_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(keys.SHARED_HOST_VARIABLE, "true")
    with pytest.raises(ServerError, match="TRITON_LAB_SHARED_HOST is `true`"):
        keys.shared_host()


@pytest.mark.usefixtures("shared")
def test_a_key_that_everybody_could_read_is_no_key(
    start: Start, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "cannot_hide", lambda: "ptrace is forbidden")
    with pytest.raises(ServerError) as caught:
        start(repository, options=EXPLICIT)
    assert "cannot be closed with a key" in str(caught.value)
    assert "ptrace is forbidden" in caught.value.why
    assert "TRITON_LAB_SHARED_HOST=0" in caught.value.fix


@pytest.mark.usefixtures("shared")
def test_the_command_prints_the_header_for_curl(start: Start, repository: Path) -> None:
    server = start(repository, options=EXPLICIT)
    url = f"{server.endpoints.http_url}/v2/repository/index"
    # As it stands in docs/runtimes.md; `<( )` is bash's.
    command = f"{sys.executable} -m lab_utils.cli key {server.name}"
    line = ["bash", "-c", f"curl -s -H @<({command}) -X POST {url}"]
    answer = subprocess.run(line, cwd=paths.project_root(), capture_output=True, text=True, check=True)
    assert [entry["name"] for entry in json.loads(answer.stdout)] == ["double"]
    server.stop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(keys.SHARED_HOST_VARIABLE, "0")
        opened = start(repository, options=EXPLICIT)
        refused = subprocess.run(
            command.split(), cwd=paths.project_root(), capture_output=True, text=True, check=False
        )
        assert opened.headers == {}
    assert refused.returncode == 1
    assert "has no key" in refused.stderr


HIDING = """
import sys
sys.path.insert(0, sys.argv[1])
from lab_utils.keeper import hidden
show = "import sys; print(sys.argv[1:]); print(open('/proc/self/cmdline').read().split(chr(0))[-4:-1])"
argv = [sys.executable, "-c", show, "a", "one", "two"]
print(hidden.start(argv, {4: "first " * 40, 5: ""}, env={}, preexec_fn=lambda: None).wait())
try:
    hidden.start(["/no/such/program", "x"], {1: "y"}, env={}, preexec_fn=lambda: None)
except FileNotFoundError:
    print("not found")
"""


def test_a_program_sees_what_others_do_not() -> None:
    line = [sys.executable, "-I", "-c", HIDING, str(paths.project_root())]
    answer = subprocess.run(line, capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout.splitlines() == [
        str(["a", "first " * 40, ""]),
        str(["a", "one", "two"]),
        "0",
        "not found",
    ]
