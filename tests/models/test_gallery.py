"""The gallery of Lab 2: the real server, lint and the page that students read, side by side."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from lab_utils import server as triton
from lab_utils.errors import LabError
from lab_utils.models.gallery import PHANTOM, SOUND, build_gallery, describe
from lab_utils.repository.lint import lint_repository

SILENT = {"elm", "maple"}
"""Loaded, and not what is meant: only the page and lint can tell."""


@pytest.mark.live
def test_the_server_does_what_the_gallery_is_for(tmp_path: Path) -> None:
    """Thirteen entries are refused, two load all the same; lint says something of these fifteen alone."""
    gallery = build_gallery(tmp_path / "gallery")
    build_gallery(gallery)  # again, in place of the first
    entries = {path.name for path in gallery.iterdir()}
    broken = entries - set(SOUND)
    assert len(broken) == 15
    server = triton.start(
        gallery, name="gallery", options=["--disable-auto-complete-config", "--exit-timeout-secs=0"]
    )
    try:
        index = httpx.post(f"{server.endpoints.http_url}/v2/repository/index").json()
        page = describe(gallery, index, server.logs())
    finally:
        server.stop()
    ready = {entry["name"] for entry in index if entry.get("state") == "READY"}
    assert ready == set(SOUND) | SILENT
    assert {entry["name"] for entry in index} == entries

    parts = {part.partition("\n")[0]: part for part in page.split(f"{'=' * 30} ")[1:]}
    assert set(parts) == entries
    for name in broken - SILENT:
        assert "\nE1" in parts[name] or "\nE0" in parts[name], f"the page shows no reason for {name}"
    assert "no field named" in parts["ash"]
    assert "'02' which contains leading zeros" in page

    findings = lint_repository(gallery)
    assert {finding.model for finding in findings} == broken
    assert {finding.model for finding in findings if finding.severity == "warning"} == SILENT
    assert PHANTOM in broken


def test_a_gallery_replaces_nothing_but_a_gallery(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(LabError, match="is no gallery"):
        build_gallery(tmp_path)
    assert (tmp_path / "mine").is_dir()
