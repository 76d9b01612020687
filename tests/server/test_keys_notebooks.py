"""Where users share a machine the complete notebooks pass unchanged. For authors (TRITON_LAB_IMAGES=all)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab_utils import paths
from lab_utils.progress.registry import Status
from lab_utils.progress.rerun import check_lab

pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        os.environ.get("TRITON_LAB_IMAGES") != "all",
        reason="takes half an hour: for authors, with TRITON_LAB_IMAGES=all",
    ),
]
COMPLETE = sorted((paths.project_root() / "labs_solutions").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", COMPLETE, ids=lambda path: f"lab{path.name[:2]}")
def test_the_complete_notebook_passes(notebook: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_LAB_SHARED_HOST", "1")
    report = check_lab(notebook.name[:2], notebook, cell_timeout=600, total_timeout=3000)
    said = [f"{r.checkpoint.id} {r.verdict.status.value}: {r.verdict.found}" for r in report.results]
    assert report.finished, f"{report.reason}\n" + "\n".join([*report.unexpected, *said])
    assert [line for line in said if Status.PASS.value not in line] == []
    assert report.unexpected == ()
