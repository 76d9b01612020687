"""A repository whose path a shell would split is served all the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lab_utils.errors import LabError
from lab_utils.server.base import Server
from lab_utils.server.plain_path import is_plain, plain
from tests.server.conftest import add_model

Start = Callable[..., Server]


@pytest.mark.live
@pytest.mark.parametrize("folder", ["my courses", 'it\'s "mine"', "Übung $HOME; (1)"])
def test_a_server_starts_and_serves(start: Start, tmp_path: Path, folder: str) -> None:
    repository = tmp_path / folder / "models"
    add_model(repository, "double")
    server = start(repository, name="plain-path", wait_for=["double"], timeout=20)
    assert server.repository == repository, "the student's own path is what is shown"


def test_a_plain_path_stays(tmp_path: Path) -> None:
    assert plain(tmp_path) == tmp_path
    assert not is_plain(tmp_path / "a b")


def test_the_link_is_made_again_when_it_leads_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    link = plain(folder)
    link.unlink()
    link.symlink_to(tmp_path)
    assert plain(folder) == link
    assert link.resolve() == folder.resolve()


def test_a_link_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, nowhere = tmp_path / "a b", tmp_path / "gone"
    folder.mkdir()
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(nowhere))
    with pytest.raises(LabError, match="no link to it could be made") as caught:
        plain(folder)
    assert "Move the folder" in caught.value.fix
    shutil.rmtree(folder)
