"""All four complete notebooks against the CPU image. Authors only (TRITON_LAB_IMAGES=all)."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab_utils.progress.registry import Status
from lab_utils.progress.rerun import check_lab
from tests.docker.images.build import ROOT, whole_images

pytestmark = [
    whole_images,
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.timeout(3600),
    pytest.mark.usefixtures("settings"),
]
COMPLETE = sorted((ROOT / "labs_solutions").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", COMPLETE, ids=lambda path: f"lab{path.name[:2]}")
def test_the_complete_notebook_passes(
    notebook: Path, cpu_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RUNTIME": "docker", "IMAGE": cpu_image, "IPC": "host"}.items():
        monkeypatch.setenv(f"TRITON_LAB_{name}", value)
    monkeypatch.delenv("TRITON_LAB_MOUNTS")
    report = check_lab(notebook.name[:2], notebook, cell_timeout=600, total_timeout=3000)
    said = [f"{r.checkpoint.id} {r.verdict.status.value}: {r.verdict.found}" for r in report.results]
    assert report.finished, f"{report.reason}\n" + "\n".join([*report.unexpected, *said])
    assert [line for line in said if Status.PASS.value not in line] == []
    assert report.unexpected == ()
