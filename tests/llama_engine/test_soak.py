"""The soak of `benchmarks/llama_soak.py`, short."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
pytest.importorskip("transformers", reason="transformers is not installed: make test EXTRAS=torch")

from benchmarks import llama_soak
from lab_utils.server.base import Server

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.alone]


def test_a_short_soak_leaves_nothing_behind(server: Server) -> None:
    report = llama_soak.run(server, seconds=8, workers=24)
    assert report.problems == []
    assert all(report.did[name] > 0 for name in llama_soak.ACTIONS), report.did
    assert report.counted["cancelled"] > 0
    assert report.counted["refused"] > 0
