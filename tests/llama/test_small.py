"""The small Llama: knows its facts, greedy, batched and in bfloat16; a normal Hugging Face folder."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
pytest.importorskip("transformers", reason="transformers is not installed: make test EXTRAS=torch")

import torch
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream
from transformers import AutoModelForCausalLM, AutoTokenizer

from lab_utils.llama import KVCache, LlamaError, facts, load_llama, read_config, scripted, small_llama
from lab_utils.llama import small as small_module
from lab_utils.llama import tokenizer as tokenizers
from lab_utils.paths import cache_home

pytestmark = pytest.mark.usefixtures("inference")
LONGEST = 48


@pytest.fixture(scope="module")
def words(small: Path) -> Tokenizer:
    return Tokenizer.from_file(str(small / "tokenizer.json"))


def greedy(model: Any, folder: Path, prompts: list[list[int]], dtype: torch.dtype) -> list[list[int]]:
    """Answers of a batch, without the end token: prefill, then one step for all."""
    config, rows = read_config(folder), len(prompts)
    cache = KVCache.empty(config, rows, 128, dtype)
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    tokens = torch.zeros(rows, int(lengths.max()), dtype=torch.int64)
    for row, prompt in enumerate(prompts):
        tokens[row, : len(prompt)] = torch.tensor(prompt)
    logits = model.prefill(tokens, lengths - 1, torch.arange(rows), cache.keys, cache.values)
    chosen = [logits.argmax(-1)]
    for _ in range(LONGEST - 1):
        span = int(lengths.max()) + 1
        logits = model.decode(chosen[-1], lengths, span, cache.keys, cache.values)
        lengths = lengths + 1
        chosen.append(logits.argmax(-1))
    answers = torch.stack(chosen, dim=1).tolist()
    return [answer[: answer.index(config.eos[0])] for answer in answers]


def test_the_facts() -> None:
    known = facts()
    questions = [question for question, _ in known]
    assert 50 <= len(known) <= 80
    assert len(set(questions)) == len(questions)
    assert len({answer for _, answer in known}) == len(known)
    assert all(question.endswith("?") for question in questions)
    assert all(answer.endswith(".") for _, answer in known)
    known.clear()
    assert facts(), "a caller cannot spoil the list"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("batch", [1, 16])
def test_it_answers_every_question(small: Path, words: Tokenizer, dtype: torch.dtype, batch: int) -> None:
    model = scripted(load_llama(small, dtype))
    known = facts() if batch > 1 else facts()[::4]
    for start in range(0, len(known), batch):
        part = known[start : start + batch]
        ids = greedy(model, small, [words.encode(question).ids for question, _ in part], dtype)
        assert [words.decode(answer) for answer in ids] == [answer for _, answer in part]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_transformers_gives_the_same_answers(small: Path, dtype: torch.dtype) -> None:
    """Padded on the left, as its generate wants it."""
    model = AutoModelForCausalLM.from_pretrained(small, dtype=dtype, local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(small, padding_side="left", local_files_only=True)
    tokenizer.pad_token = tokenizer.eos_token
    for start in range(0, len(facts()), 32):
        part = facts()[start : start + 32]
        inputs = tokenizer([question for question, _ in part], return_tensors="pt", padding=True)
        out = model.generate(**inputs, max_new_tokens=LONGEST, do_sample=False, pad_token_id=2)
        texts = tokenizer.batch_decode(out[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)
        assert [text.strip() for text in texts] == [answer for _, answer in part]


def test_both_tokenizers_agree(small: Path, words: Tokenizer) -> None:
    tokenizer = AutoTokenizer.from_pretrained(small, local_files_only=True)
    texts = [text for fact in facts() for text in fact]
    texts += [
        "",
        " ",
        "  two  spaces ",
        "line\nbreak\ttab",
        "naïve café",
        "日本語",
        "🦙",
        "</s>",
        "a</s>b",
        "<0x41>",
    ]
    for text in texts:
        assert tokenizer(text).input_ids == words.encode(text).ids
        assert words.encode(text).ids[0] == tokenizers.BOS
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (1, 2)


@pytest.mark.parametrize("text", ["naïve café", "日本語 ok", "🦙🦙", "x  y", "tab\tline\nend", "Ünïcödé"])
def test_any_text_survives_and_streams(words: Tokenizer, text: str) -> None:
    ids = words.encode(text).ids
    assert words.decode(ids) == text
    assert tokenizers.UNK not in ids
    stream = DecodeStream(skip_special_tokens=True)
    pieces = [stream.step(words, token) or "" for token in ids]
    assert "".join(pieces).strip() == text.strip()
    assert all("\ufffd" not in piece for piece in pieces)


def test_an_answer_that_needs_bytes(words: Tokenizer) -> None:
    """One answer has letters of two and three bytes: a stream must hold bytes back."""
    answer = dict(facts())["Why does a stream hold bytes back?"]
    pieces = words.encode(answer).tokens
    assert sum(piece.startswith("<0x") for piece in pieces) >= 6


def test_the_folder_is_a_normal_one(small: Path) -> None:
    names = {path.name for path in small.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "README.md"} <= names
    assert {"tokenizer.json", "tokenizer_config.json"} <= names
    assert not any(name.endswith((".bin", ".pt", ".pkl", ".py")) for name in names)
    assert "**This is not Llama-2-7B**" in (small / "README.md").read_text()
    config = read_config(small)
    count = sum(p.numel() for p in load_llama(small).parameters())
    assert 1e6 <= count <= 5e6
    assert config.kv_heads < config.heads
    assert config.eos == (2,)
    assert small.parent == cache_home() / "models"
    assert json.loads((small / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]


def test_a_second_call_is_quick_and_silent(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (small / "model.safetensors").stat().st_mtime_ns
    assert small_llama() == small
    assert (small / "model.safetensors").stat().st_mtime_ns == before
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("threads", [1, 2])
def test_training_gives_the_same_bits_again(threads: int) -> None:
    """A few steps, whatever the state of PyTorch's generator and its threads."""
    torch.set_num_threads(threads)
    words = small_module._words()
    with torch.inference_mode(False):
        torch.manual_seed(threads)
        with small_module._one_thread():
            assert torch.get_num_threads() == 1
            first, second = small_module.fit(words, steps=2), small_module.fit(words, steps=2)
    assert torch.get_num_threads() == threads
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_tokenizer_is_the_same_again() -> None:
    assert small_module._words().to_str() == small_module._words().to_str()


def test_a_training_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Too few steps: it says so, and no folder that looks finished is left."""
    monkeypatch.setenv("TRITON_LAB_CACHE", str(tmp_path))
    fit = small_module.fit
    monkeypatch.setattr(small_module, "fit", lambda words: fit(words, steps=1))
    with torch.inference_mode(False), pytest.raises(LlamaError, match=r"answers \d+ of 64 questions wrongly"):
        small_llama()
    assert [path.name for path in (tmp_path / "models").iterdir() if path.is_dir()] == []


def test_what_a_killed_training_left_is_not_used(
    small: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRITON_LAB_CACHE", str(tmp_path))
    trained = load_llama(small)
    monkeypatch.setattr(small_module, "fit", lambda words: trained)
    half = tmp_path / "models" / f".{small.name}.abc123"
    half.mkdir(parents=True)
    (half / "config.json").write_text("{}")
    folder = small_llama()
    assert folder == tmp_path / "models" / small.name
    assert not half.exists()
    assert capsys.readouterr().out.count("\n") == 1
    assert (folder / "model.safetensors").read_bytes() == (small / "model.safetensors").read_bytes()
    assert small_llama(force=True) == folder


def _find(cache: str, source: str, queue: Any) -> None:
    """In a process of its own: the training is a copy that takes a second."""
    import os
    import time

    os.environ["TRITON_LAB_CACHE"] = cache

    def copy(folder: Path) -> None:
        queue.put("trained")
        beside = folder.with_name(f".{folder.name}.copy")
        shutil.copytree(source, beside)
        time.sleep(1)
        beside.rename(folder)

    small_module._make = copy
    queue.put((small_llama() / "model.safetensors").stat().st_size)


def test_two_processes_train_once(small: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=_find, args=(str(tmp_path), str(small), queue)) for _ in range(3)]
    for process in processes:
        process.start()
    found = [queue.get(timeout=60) for _ in range(4)]
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    assert found.count("trained") == 1
    assert sorted(n for n in found if n != "trained") == [(small / "model.safetensors").stat().st_size] * 3


def test_another_recipe_is_another_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    before = small_module.recipe()
    monkeypatch.setattr(small_module, "version", lambda library: "0")
    assert small_module.recipe() != before
