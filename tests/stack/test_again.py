"""A second `up` beside or after a first one: it waits, and puts back what it tried to replace in vain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from lab_utils.stack import run, settings, state
from lab_utils.stack.faults import StackError, StackFault
from lab_utils.stack.preflight import warn_without_gpu
from lab_utils.stack.run import down, up
from lab_utils.stack.wish import Wish


def test_what_ran_is_put_back_when_its_successor_fails(
    student: Path, wish: Callable[..., Wish], client: Any
) -> None:
    up(wish("alertmanager"))
    (before,) = client.containers.list()
    # The engine cannot start the successor at all: the old one comes back under its name.
    with pytest.raises(StackError) as caught:
        up(wish("alertmanager", more={"alertmanager": {"entrypoint": ["/no/such/program"]}}))
    assert "/no/such/program" in str(caught.value)
    (after,) = client.containers.list(all=True)
    assert (after.id, after.name, after.status) == (before.id, before.name, "running")
    # The successor starts and then ends: the old one is gone by then, and that is said.
    with pytest.raises(StackError) as caught:
        up(wish("alertmanager", more={"alertmanager": {"command": ["--no-such-option"]}}))
    assert "no-such-option" in str(caught.value)
    assert "The former container of alertmanager had been replaced and is gone" in caught.value.fix
    assert client.containers.list(all=True) == []
    assert settings.secrets_folder().is_dir(), "it ran before: its secrets stay until `triton-lab down`"


def test_an_interrupted_call_takes_down_what_it_started(
    student: Path, wish: Callable[..., Wish], client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def pressed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "wait_healthy", pressed)  # Ctrl-C, with the container running
    with pytest.raises(KeyboardInterrupt):
        up(wish("alertmanager"), told.append)
    assert told[-1] == "Interrupted. What this call had started was taken down again."
    assert client.containers.list(all=True) == []
    assert not settings.secrets_folder().exists()


def test_a_long_build_for_a_gpu_begins_with_a_warning(
    client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[str] = []
    monkeypatch.setenv("PATH", str(tmp_path))
    warn_without_gpu(client, told.append)
    assert "no nvidia-smi" in told[0]
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    warn_without_gpu(client, told.append)
    assert len(told) == 1


def test_a_second_call_waits_and_says_so(
    student: Path, wish: Callable[..., Wish], client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.folder().mkdir(parents=True)
    told: list[str] = []
    monkeypatch.setattr(run, "_PATIENCE_S", 0.5)
    with FileLock(state.folder() / "lock"):
        for call in (lambda: up(wish("alertmanager"), told.append), lambda: down(say=told.append)):
            with pytest.raises(StackError) as caught:
                call()
            assert caught.value.fault is StackFault.BUSY
    assert told == ["Another `triton-lab up` or `triton-lab down` of yours is at work: waiting for it."] * 2
    assert down() == []
