"""Padded decode steps give what exact ones give. CUDA graphs only replay them; the sizes are tested here."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
pytest.importorskip("transformers", reason="transformers is not installed: make test EXTRAS=torch")

import torch

from lab_utils.llama import KVCache, load_llama
from lab_utils.llama.engine.graphs import BucketedDecode, Step, bucket, row_buckets, span_buckets


def test_the_sizes_cover_every_step_and_waste_little() -> None:
    for slots in (1, 2, 3, 4, 7, 8, 16, 20, 64, 100, 256):
        rows = row_buckets(slots)
        assert rows == sorted(set(rows))
        assert rows[-1] == slots
        for count in range(1, slots + 1):
            assert count <= bucket(rows, count) <= max(2 * count, count + 8)
    for length in (2, 100, 256, 257, 512, 4096, 5000):
        spans = span_buckets(length)
        assert spans == sorted(set(spans))
        assert spans[-1] == length
        assert all(span <= bucket(spans, span) <= max(256, 2 * span) for span in range(1, length + 1))
    assert row_buckets(64) == [1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64]
    assert span_buckets(4096) == [256, 512, 1024, 2048, 4096]


@pytest.mark.parametrize("slots", [1, 3, 6])
def test_padded_steps_give_the_same_logits_and_leave_the_cache_alone(folder: Path, slots: int) -> None:
    model = load_llama(folder)
    cache = KVCache.empty(model.config, slots + 1, 300)
    captured: list[Step] = []

    def capture(step: Step) -> Step:
        step()
        captured.append(step)
        return step

    with torch.inference_mode():
        padded = BucketedDecode(model.decode, cache, slots, capture)
        padded.warm_up()
        assert len(captured) == len(padded.rows) * len(padded.spans)
        cache.keys.normal_(generator=torch.Generator().manual_seed(0))
        cache.values.normal_(generator=torch.Generator().manual_seed(1))
        exact = KVCache(cache.keys.clone(), cache.values.clone())
        reading = cache.keys[:, slots].clone()
        for count in range(1, slots + 1):
            for top in (0, 5, 255, 256, 298):
                tokens = list(range(10, 10 + count))
                positions = [max(0, top - 3 * i) for i in range(count)]
                got = padded(tokens, positions)
                want = model.decode(
                    torch.tensor(tokens), torch.tensor(positions), top + 1, exact.keys, exact.values
                )
                assert got.shape == want.shape
                torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
                # Real rows are written alike; padding never reaches the slot where long prompts are read.
                torch.testing.assert_close(
                    cache.keys[:, :count, :, : top + 1], exact.keys[:, :count, :, : top + 1]
                )
                torch.testing.assert_close(cache.keys[:, slots], reading)
                cache.keys.copy_(exact.keys)
                cache.values.copy_(exact.values)
