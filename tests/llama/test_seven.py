"""Llama-2-7B by arithmetic, and why it is not measured."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")

from lab_utils.llama.config import LlamaConfig
from lab_utils.llama.seven import BANDWIDTHS, SEVEN, bound, seven_billion, why_not_measured

TINY = LlamaConfig(
    vocab_size=100, hidden_size=8, intermediate_size=16, layers=2, heads=2, kv_heads=1, head_dim=4
)


def test_the_bound_counts_weights_once_and_the_cache_of_each_request() -> None:
    # By hand: 2 layers of (2*8*8 + 2*8*4 + 3*8*16 + 2*8), embedding and head of 100*8, a norm of 8.
    weights = 2 * (2 * (128 + 64 + 384 + 16) + 2 * 800 + 8)
    cached = 2 * 2 * 1 * 4 * 2
    assert bound(TINY, 1e6, 3, 10) == pytest.approx(3 * 1e6 / (weights + 3 * 10 * cached))


def test_llama_2_7b_on_an_h200_is_bound_as_the_data_sheet_says() -> None:
    # 13.48 GB of weights and 0.524 MB per token at 4.8 TB/s.
    assert bound(SEVEN, BANDWIDTHS["H200"], 1, 0) == pytest.approx(356, abs=1)
    assert bound(SEVEN, BANDWIDTHS["H200"], 64, 512) == pytest.approx(10_000, rel=0.01)


@pytest.mark.parametrize("name", ["", "small"])
def test_without_weights_it_says_so(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("LLAMA_MODEL", name)
    assert "LLAMA_MODEL names no weights" in why_not_measured()
    text = seven_billion()
    assert "SKIP, measured: LLAMA_MODEL names no weights" in text
    assert "13,476.83" in text


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("LLAMA_MODEL", str(tmp_path))
    assert why_not_measured() == f"{tmp_path} is named, but PyTorch sees no GPU."


def test_weights_and_a_gpu_are_measured(monkeypatch: pytest.MonkeyPatch, small_folder: Path) -> None:
    """The same lines, with the small Llama in the place of the large one and the CPU in that of the GPU."""
    from lab_utils.llama import seven
    from lab_utils.llama.memory import measure_memory

    monkeypatch.setenv("LLAMA_MODEL", str(small_folder))
    monkeypatch.setattr(seven, "why_not_measured", lambda: "")
    monkeypatch.setattr(seven, "measure_memory", lambda *asked, device: measure_memory(*asked, device="cpu"))
    text = seven_billion(slots=1, length=512)
    assert f"Measured, {small_folder.name}" in text
    assert "SKIP" not in text


@pytest.fixture
def small_folder(small: Path) -> Path:
    return small
