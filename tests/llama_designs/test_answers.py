"""Each design gives exactly the answer of the plain model, alone and beside fifteen others."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
pytest.importorskip("transformers", reason="transformers is not installed: make test EXTRAS=torch")

import numpy as np
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from benchmarks.llama_work import SHAPES
from lab_utils.llama import facts, random_llama, small_llama
from lab_utils.llama.engine.text import TextStream, TokenBytes
from lab_utils.load import run_generation
from lab_utils.repository.config import format_config, read_config
from lab_utils.server.base import Server
from tests.llama_designs.asking import ask, inputs
from tests.llama_designs.conftest import DESIGNS
from tests.llama_designs.reference import greedy, model, text, tokenizer

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]
FACTS = facts()


@pytest.mark.parametrize("design", DESIGNS)
def test_the_answer_of_the_plain_model(client: Any, design: str) -> None:
    for question, known in FACTS[:3]:
        wanted = greedy(question, 60)
        answer = ask(client, design, question, max_tokens=60)
        assert answer.ids == wanted
        assert answer.text == " " + known == text(question, wanted)
        assert answer.reasons[-1] == "stop"
        assert set(answer.reasons[:-1]) <= {""}


@pytest.mark.parametrize("design", DESIGNS)
def test_lengths_and_end_tokens(client: Any, design: str) -> None:
    question, known = FACTS[3]
    short = ask(client, design, question, max_tokens=5)
    assert (short.ids, short.reasons[-1]) == (greedy(question, 5), "length")
    assert (" " + known).startswith(short.text)
    whole = len(greedy(question, 64))
    on = ask(client, design, question, max_tokens=whole + 6, ignore_eos=True)
    assert on.ids == greedy(question, whole + 6, ignore_eos=True)
    assert (len(on.ids), on.reasons[-1]) == (whole + 6, "length")
    assert ask(client, design, question).text == " " + known, "max_tokens has a default"


@pytest.mark.parametrize("design", DESIGNS)
def test_the_text_is_the_one_that_the_engine_makes(client: Any, design: str) -> None:
    words = TokenBytes(tokenizer(small_llama()))
    for prompt in ("", " ", "<s></s>", "🦙🦙", "שלום עולם", "naïve", FACTS[4][0]):
        answer = ask(client, design, prompt, max_tokens=30, ignore_eos=True)
        stream = TextStream(words, starts_text=prompt in ("", "<s></s>"))
        assert answer.text == "".join(map(stream.push, answer.ids)) + stream.finish(), prompt


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize(
    ("prompt", "values", "words"),
    [
        ("word " * 3000, {"max_tokens": 5}, "do not fit"),
        ("a", {"max_tokens": 0}, "max_tokens must be 1 or more"),
        (b"\xff\xfe", {"max_tokens": 5}, "no UTF-8"),
    ],
)
def test_a_refused_request_says_why(
    client: Any, design: str, prompt: str | bytes, values: dict[str, int], words: str
) -> None:
    with pytest.raises(InferenceServerException, match=words):
        ask(client, design, prompt, **values)
    assert ask(client, design, FACTS[0][0], max_tokens=4).ids == greedy(FACTS[0][0], 4)


def test_a_stream_sends_each_token_by_itself(client: Any) -> None:
    question, known = FACTS[5]
    answer = ask(client, "llama_hf_stream", question, max_tokens=60)
    assert [len(ids) for ids in answer.token_ids] == [1] * len(answer.ids) + [0]
    assert len(answer.texts) > 5
    assert "".join(answer.texts) == " " + known


def test_an_answer_that_cannot_be_streamed_ends_with_an_error(server: Server, client: Any) -> None:
    """A Llama of random weights writes bytes that are no UTF-8, and the library's decoder raises."""
    name = "llama_hf_stream_noise"
    place = Path(server.repository) / name
    shutil.copytree(Path(server.repository) / "llama_hf_stream", place)
    config = read_config(place / "config.pbtxt")
    config.name = name
    config.parameters["model"].string_value = str(random_llama(place / "weights", SHAPES["tiny"]))
    (place / "config.pbtxt").write_text(format_config(config))
    client.load_model(name, client_timeout=120)
    try:
        errors = []
        for question, _ in FACTS[:20]:
            try:
                assert len(ask(client, name, question, max_tokens=40, ignore_eos=True).ids) == 40
            except InferenceServerException as error:
                errors.append(error.message())
        assert 0 < len(errors) < 20, "each request has its end, this way or that"
        assert all("Invalid prefix" in error for error in errors)
    finally:
        client.unload_model(name)


def test_sixteen_strangers_in_one_batch(server: Server) -> None:
    """Different prompts, different lengths, and some that go on after their end: each gets its own."""
    questions = [question for question, _ in FACTS[:32]]
    lengths = [3 + 5 * (number % 9) for number in range(32)]
    expected = [greedy(question, length) for question, length in zip(questions, lengths, strict=True)]
    assert len({tuple(ids) for ids in expected}) == 32
    result = run_generation(
        *(server, "llama_hf_batched", questions),
        protocol="grpc",
        max_tokens=lengths,
        expected=expected,
        concurrency=16,
        requests=96,
        warmup=0,
    )
    assert (result.requests, result.errors) == (96, {}), result.messages
    assert max(result.load.batch_histogram) >= 8, "they did share batches"


def test_a_bad_request_does_not_harm_its_batch(server: Server) -> None:
    """Half of the requests are refused; the other half gets its answers."""
    prompts = [FACTS[0][0], "word " * 3000] * 4
    result = run_generation(
        *(server, "llama_hf_batched", prompts),
        protocol="grpc",
        max_tokens=20,
        expected=[greedy(FACTS[0][0], 20)] * 8,
        concurrency=8,
        requests=48,
        warmup=0,
    )
    assert result.requests == result.failed == 24
    assert set(result.errors) == {"model_error"}


@pytest.mark.parametrize("design", ["llama_hf", "llama_hf_stream"])
def test_one_at_a_time_under_load(server: Server, design: str) -> None:
    questions = [question for question, _ in FACTS[:6]]
    result = run_generation(
        *(server, design, questions),
        max_tokens=12,
        expected=[greedy(question, 12) for question in questions],
        concurrency=6,
        requests=18,
        warmup=0,
    )
    assert (result.requests, result.errors) == (18, {}), result.messages
    if design == "llama_hf_stream":
        assert result.tokens_per_response == 1
        assert result.ttft.p50 < result.latency.p50


def test_logits_without_a_memory(client: Any) -> None:
    """The client chooses the tokens, and sends the text again for each of them."""
    folder, (question, known) = small_llama(), FACTS[7]
    ids = tokenizer(folder).encode(question).ids
    found: list[int] = []
    while not found or found[-1] not in model(folder).config.eos:
        found.append(int(logits(client, [ids + found])[0, -1].argmax()))
    assert found == greedy(question, 64)
    assert text(question, found) == " " + known


def test_logits_of_padded_rows(client: Any) -> None:
    one, other = (tokenizer(small_llama()).encode(FACTS[n][0]).ids for n in (0, 1))
    width = max(len(one), len(other))
    both = logits(client, [ids + [0] * (width - len(ids)) for ids in (one, other)])
    assert both.shape == (2, width, 1024)
    for row, ids in zip(both, (one, other), strict=True):
        np.testing.assert_allclose(row[: len(ids)], logits(client, [ids])[0], atol=1e-4)


def logits(client: Any, rows: list[list[int]]) -> Any:
    array = np.array(rows, dtype=np.int64)
    tensor = grpcclient.InferInput("INPUT__0", list(array.shape), "INT64").set_data_from_numpy(array)
    return client.infer("llama_logits", [tensor]).as_numpy("OUTPUT__0")


def test_inputs_helper_makes_a_batch_dimension() -> None:
    assert inputs(True, max_tokens=3)[0].shape() == [1, 1]
