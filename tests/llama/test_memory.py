"""The memory formulas against the real tensors, against PyTorch's allocator and against a process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
pytest.importorskip("transformers", reason="transformers is not installed: make test EXTRAS=torch")

import torch

from lab_utils.llama import (
    KVCache,
    Llama,
    LlamaConfig,
    LlamaError,
    Memory,
    draw_memory,
    kv_bytes_per_token,
    load_llama,
    measure_memory,
    memory_table,
    predict_memory,
    random_llama,
    read_config,
    weight_count,
)
from lab_utils.llama.memory_probe import _peak, _read
from tests.llama.shapes import Trio

pytestmark = pytest.mark.usefixtures("inference")
LLAMA2_7B = LlamaConfig(32000, 4096, 11008, 32, 32, 32, 128, max_positions=4096)
LLAMA31_8B = LlamaConfig(128256, 4096, 14336, 32, 32, 8, 128, max_positions=131072)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_formulas_equal_the_tensors(trio: Trio, dtype: torch.dtype) -> None:
    llama = load_llama(trio.folder, dtype)
    predicted = predict_memory(llama.config, slots=3, length=40, dtype=dtype)
    assert predicted.weights == sum(p.nbytes for p in llama.parameters())
    assert predicted.tables == sum(b.nbytes for b in llama.buffers())
    assert predicted.kv == KVCache.empty(llama.config, 3, 40, dtype).bytes


def test_published_figures() -> None:
    """The model cards' parameter counts; 0.524 MB per token is 2 x 32 layers x 4096 x 2 bytes."""
    assert weight_count(LLAMA2_7B) == 6_738_415_616
    assert predict_memory(LLAMA2_7B, 1, 4096, torch.bfloat16).weights / 1e9 == pytest.approx(13.48, abs=0.005)
    assert kv_bytes_per_token(LLAMA2_7B, torch.bfloat16) == 524_288
    assert weight_count(LLAMA31_8B) == 8_030_261_248
    assert kv_bytes_per_token(LLAMA31_8B, torch.bfloat16) == 131_072


@pytest.mark.parametrize("tokens", [1, 64, 300])
@pytest.mark.parametrize("wide", [False, True], ids=["layer-peak", "logits-peak"])
def test_working_memory_equals_the_allocator(tokens: int, wide: bool) -> None:
    """Within the few numbers per token that are no matrix: masks, positions, lengths of vectors."""
    config = LlamaConfig(1024, 256, 640, 2, 8, 2, 32, max_positions=512)
    if wide:
        config = replace(config, vocab_size=200_000)
    llama = Llama(config)
    for parameter in llama.parameters():
        parameter.fill_(0.01)
    cache = KVCache.empty(config, 2, 512)
    _read(llama, cache, tokens)
    found = _peak(lambda: _read(llama, cache, tokens), cuda=False)
    predicted = predict_memory(config, 2, 512, prompt_tokens=tokens).working
    assert found == pytest.approx(predicted, rel=0.03, abs=8192)


def test_a_process_takes_what_the_formula_says(tmp_path: Path) -> None:
    """On a model of 60 MB, where the extras of a process are small beside it."""
    config = LlamaConfig(8192, 512, 1408, 3, 8, 4, 64, max_positions=2048)
    folder = random_llama(tmp_path, config)
    predicted = predict_memory(config, slots=8, length=1024, prompt_tokens=256)
    measured = measure_memory(folder, slots=8, length=1024, prompt_tokens=256)
    assert measured.kv == pytest.approx(predicted.kv, rel=0.03)
    assert measured.weights == pytest.approx(predicted.weights, rel=0.08)
    assert measured.working == pytest.approx(predicted.working, rel=0.03)
    assert measured.total == pytest.approx(predicted.total, rel=0.05)


def test_measuring_says_what_failed(small: Path, tmp_path: Path) -> None:
    with pytest.raises(LlamaError, match="does not fit into a slot of 16"):
        measure_memory(small, slots=1, length=16, prompt_tokens=17)
    with pytest.raises(LlamaError, match="could not be measured") as caught:
        measure_memory(tmp_path, slots=1, length=16, prompt_tokens=4)
    assert "config.json does not exist" in caught.value.details


def test_table() -> None:
    predicted = Memory(weights=8_000_000, tables=500_000, kv=33_000_000, working=1_500_000)
    assert predicted.total == 43_000_000
    lines = memory_table(predicted, replace(predicted, weights=8_800_000)).splitlines()
    assert lines[0].split() == ["predicted", "measured", "difference"]
    assert lines[1].split() == ["weights", "8.00", "8.80", "+10.0", "%"]
    assert lines[-1].split() == ["together", "43.00", "43.80", "+1.9", "%"]
    alone = memory_table(predicted).splitlines()
    assert alone[0].split() == ["predicted"]
    assert alone[-1].split() == ["together", "43.00"]


def test_picture(small: Path) -> None:
    config = read_config(small)
    memories = {f"{slots} slots": predict_memory(config, slots, 512) for slots in (1, 8, 64)}
    figure = draw_memory(memories, limit=100_000_000)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(memories)
    ends = [patch.get_x() + patch.get_width() for patch in axes.patches][-3:]
    assert ends == pytest.approx([memory.total / 1e6 for memory in memories.values()])
    assert figure._repr_png_().startswith(b"\x89PNG")
