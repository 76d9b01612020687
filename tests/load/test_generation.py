"""Text generation under load: figures against models of known timing, and answers that are wrong."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from lab_utils.load import GenerationResult, LoadError, run_generation
from lab_utils.server.base import Server
from tests.load.speakers import tokens

pytestmark = pytest.mark.live
PROMPTS = ["a", "bcd", "efghi"]


@pytest.mark.alone
def test_time_to_first_token_and_gaps(server: Server) -> None:
    # 40 ms to the first of 12 tokens, 10 ms between them: 150 ms in all, 80 tokens/s in a closed loop.
    expected = [tokens(prompt, 12) for prompt in PROMPTS]
    result = run_generation(
        *(server, "speaker", PROMPTS),
        max_tokens=12,
        ignore_eos=True,
        expected=expected,
        concurrency=1,
        seconds=1.5,
        warmup=0.2,
    )
    assert (result.errors, result.wrong_answers, result.checked) == ({}, 0, True)
    assert 0.040 <= result.ttft.p50 < 0.080
    assert 0.009 < result.itl.p50 < 0.020
    assert result.between == result.itl, "every response carries one token"
    assert 0.010 <= result.tpot.p50 < 0.020
    assert 0.150 <= result.latency.p50 < 0.30
    assert result.latency.mean == pytest.approx(result.ttft.mean + 11 * result.tpot.mean, rel=0.1)
    assert (result.tokens_per_request, result.tokens_per_response) == (12, 1)
    assert 40 < result.tokens_per_second <= 80.5
    assert result.requests == pytest.approx(1.5 / result.latency.mean, abs=1.5)


@pytest.mark.alone
def test_streams_run_side_by_side_and_every_length_is_its_own(server: Server) -> None:
    lengths = [3, 20, 8]
    expected = [tokens(prompt, length) for prompt, length in zip(PROMPTS, lengths, strict=True)]
    result = run_generation(
        *(server, "speaker", PROMPTS),
        max_tokens=lengths,
        ignore_eos=True,
        expected=expected,
        concurrency=6,
        requests=30,
        warmup=0,
        processes=2,
    )
    assert (result.requests, result.errors, result.tokens) == (30, {}, 310)
    assert result.itl.count == result.tokens - 30, "n tokens have n - 1 gaps"
    assert result.tokens_per_second > 200, "six at a time, 100 tokens/s each at best"
    assert len(result.timelines) == 30
    for line in result.timelines:
        assert len(line.tokens) in lengths
        assert line.due < line.tokens[0] <= line.tokens[-1] <= line.done


def test_an_end_token_ends_an_answer_unless_it_is_ignored(server: Server) -> None:
    result = run_generation(server, "speaker", ["a"], max_tokens=12, concurrency=1, requests=2, warmup=0)
    assert (result.tokens, result.checked) == (14, False)


@pytest.mark.alone
def test_coalesced_tokens_are_counted_and_told_apart(server: Server) -> None:
    # Three tokens a response: gaps of 10 ms between responses, of 0 inside them; the empty response at
    # the end is no token.
    result = run_generation(
        *(server, "stammerer", PROMPTS),
        max_tokens=12,
        ignore_eos=True,
        expected=[tokens(prompt, 12) for prompt in PROMPTS],
        concurrency=2,
        requests=20,
        warmup=0,
    )
    assert (result.tokens, result.tokens_per_request, result.tokens_per_response) == (240, 12, 3)
    assert (result.itl.count, result.between.count) == (220, 60)
    assert (result.itl.p50, result.itl.min) == (0, 0)
    assert 0.009 < result.between.p50 < 0.020
    assert result.itl.mean * 220 == pytest.approx(result.between.mean * 60)
    assert result.tpot.mean == pytest.approx(result.between.mean * 3 / 11, rel=0.01)
    assert any("3.0 tokens" in note for note in result.notes)


def test_a_wrong_token_is_a_failure_that_says_where(server: Server) -> None:
    result = run_generation(
        *(server, "liar", PROMPTS),
        max_tokens=5,
        expected=[tokens(prompt, 5) for prompt in PROMPTS],
        concurrency=1,
        requests=9,
        warmup=0,
    )
    assert (result.requests, result.wrong_answers, result.errors) == (6, 3, {"wrong_answer": 3})
    assert result.messages["wrong_answer"] == "prompt 2: token 5 of 5 is 506 instead of 505"
    assert result.tokens == 30, "a wrong answer is in no figure"
    result = run_generation(
        server, "speaker", ["a"], max_tokens=5, expected=[tokens("a", 6)], requests=1, warmup=0, concurrency=1
    )
    assert result.messages["wrong_answer"] == "prompt 0: 5 tokens instead of 6"
    assert math.isnan(result.ttft.p50)


@pytest.mark.alone
@pytest.mark.parametrize("protocol", ["stream", "grpc", "http"])
@pytest.mark.parametrize("model", ["writer", "writers"])
def test_one_response_for_the_whole_answer(server: Server, protocol: str, model: str) -> None:
    result = run_generation(
        *(server, model, PROMPTS),
        protocol=protocol,
        max_tokens=[4, 5, 6],
        expected=[tokens(prompt, n) for prompt, n in zip(PROMPTS, (4, 5, 6), strict=True)],
        concurrency=2,
        requests=9,
        warmup=0,
    )
    assert (result.requests, result.errors, result.tokens) == (9, {}, 45)
    assert result.ttft.p50 == pytest.approx(result.latency.p50, rel=0.05), "all tokens come at the end"
    assert (result.itl.max, result.tpot.max, result.between.count) == (0, 0, 0)


@pytest.mark.alone
def test_an_open_loop_counts_from_the_schedule(server: Server) -> None:
    result = run_generation(
        *(server, "writer", ["a"]),
        max_tokens=2,
        rate=50,
        arrival="constant",
        seconds=0.6,
        warmup=0,
    )
    # 25 a second is all that one instance does: the last ones wait for the first ones.
    assert result.ttft.max > 0.4
    assert result.ttft.count == pytest.approx(30, abs=1)


def test_more_inputs_and_mistakes(server: Server) -> None:
    with pytest.raises(LoadError, match="`temperature` is not an input of `speaker`"):
        run_generation(server, "speaker", ["a"], inputs={"temperature": np.float32(1)})
    with pytest.raises(LoadError, match="no model for text generation") as caught:
        run_generation(server, "sleepy", ["a"])
    assert "it has the inputs x and the outputs y" in caught.value.why
    with pytest.raises(LoadError, match="3 prompts, and 2 entries in max_tokens"):
        run_generation(server, "speaker", PROMPTS, max_tokens=[1, 2])
    with pytest.raises(LoadError, match="no prompts"):
        run_generation(server, "speaker", "one text")
    with pytest.raises(LoadError, match="decoupled"):
        run_generation(server, "speaker", ["a"], protocol="grpc")


def test_json_and_back(server: Server) -> None:
    result = run_generation(server, "stammerer", ["a"], max_tokens=6, concurrency=1, requests=2, warmup=0)
    plain = json.loads(result.to_json())
    assert plain["tokens"] == 12
    assert plain["load"]["model"] == "stammerer"
    again = GenerationResult.from_json(result.to_json())
    assert again == result
    assert str(again) == str(result)
