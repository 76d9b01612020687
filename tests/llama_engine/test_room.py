"""Memory is counted before it is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
pytest.importorskip("transformers", reason="transformers is not installed: make test EXTRAS=torch")

import torch

from lab_utils.llama import LlamaConfig
from lab_utils.llama.engine import Engine, EngineError
from lab_utils.llama.engine import room as rooms
from lab_utils.llama.engine.room import check_room

LLAMA_2_7B = LlamaConfig(32000, 4096, 11008, 32, 32, 32, 128)
CPU = torch.device("cpu")


def test_a_cache_that_does_not_fit_is_refused_with_what_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "available_bytes", lambda device: 24 * 2**30)
    assert check_room(LLAMA_2_7B, 5, 2048, torch.bfloat16, CPU).kv_per_token == 524_288
    with pytest.raises(EngineError, match=r"weights 12,853 MiB \+ KV cache 33,792 MiB") as caught:
        check_room(LLAMA_2_7B, 33, 2048, torch.bfloat16, CPU)
    assert caught.value.fix == "Set slots to 9 or less, or lower max_length."
    check_room(LLAMA_2_7B, 10, 2048, torch.bfloat16, CPU)
    with pytest.raises(EngineError, match="does not fit"):
        check_room(LLAMA_2_7B, 11, 2048, torch.bfloat16, CPU)
    with pytest.raises(EngineError) as caught:
        check_room(LLAMA_2_7B, 11, 2048, torch.float32, CPU)
    assert "smaller dtype" in caught.value.fix


def test_the_limit_of_a_container_counts(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("700000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 100000\n")
    assert rooms._cgroup_bytes(tmp_path) == 400_000
    (tmp_path / "memory.max").write_text("max\n")
    assert rooms._cgroup_bytes(tmp_path) > 2**60
    assert rooms._cgroup_bytes(tmp_path / "none") > 2**60


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"slots": 0}, "slots is 0; it must be 1 or more"),
        ({"max_length": 1}, "max_length is 1; it must be 2 or more"),
        ({"max_queue": -1}, "max_queue is -1; it must be 0 or more"),
        ({"prefill_tokens": 1}, "prefill_tokens is 1; it must be 2 or more"),
        ({"threads": -1}, "threads is -1"),
        ({"max_length": 10**6}, r"max_length is 1,000,000; the model was made for 2,048 tokens"),
        ({"dtype": "int8"}, "dtype is 'int8'; it must be auto, float32, bfloat16, float16"),
        ({"device": "tpu"}, "device is 'tpu'; it must be auto, cpu, cuda"),
        ({"slots": 10**7}, "does not fit: weights .* KV cache"),
    ],
)
def test_settings_that_cannot_be_are_refused(folder: Path, settings: dict[str, object], words: str) -> None:
    with pytest.raises(EngineError, match=words):
        Engine(folder, **settings)  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(EngineError, match="PyTorch sees 0 CUDA devices"):
        Engine(folder, device="cuda")
