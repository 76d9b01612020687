"""Triton can take rights away from the stub; the course gives them back before the next start."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from lab_utils import server as triton
from lab_utils.server.base import ServerError
from lab_utils.server.install import backend_directory
from tests.server.conftest import FAST, add_model

NAME = "triton_python_backend_stub"
STUB = """#!/bin/sh
[ "$#" -gt 0 ] || exit {status}
exec "{real}" "$@"
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("status", "left"), [(1, 0o755), (137, 0o100)])
def test_what_triton_leaves_of_a_stubs_rights(tmp_path: Path, status: int, left: int) -> None:
    """The fact behind the repair, with a stub of the model's own whose trial run ends as wanted."""
    stub = add_model(tmp_path / "models", "own") / NAME
    stub.write_text(STUB.format(status=status, real=backend_directory() / "python" / NAME))
    stub.chmod(0o755)
    server = triton.start(
        tmp_path / "models", name=f"rights-{status}", options=[*FAST, "--strict-readiness=false"]
    )
    try:
        assert mode(stub) == left
    finally:
        server.stop()


def test_rights_are_given_back() -> None:
    stub = backend_directory() / "python" / NAME
    assert mode(stub) == 0o755
    stub.chmod(0o100)
    assert backend_directory() / "python" / NAME == stub
    assert mode(stub) == 0o755


def test_rights_that_only_another_user_can_give_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRITON_LAB_CACHE", str(tmp_path))
    stub = backend_directory() / "python" / NAME

    def refused(path: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    stub.chmod(0o644)
    monkeypatch.setattr(Path, "chmod", refused)
    with pytest.raises(ServerError) as refusal:
        backend_directory()
    for words in ("may not run", "belongs to another user", "not permitted", f"chmod 755 {stub}", "CACHE"):
        assert words in str(refusal.value)
