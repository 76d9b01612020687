"""Wrong requests are refused, with the name, the value and the limit in the message."""

from __future__ import annotations

import math
from typing import Any

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
pytest.importorskip("transformers", reason="transformers is not installed: make test EXTRAS=torch")

import numpy as np

from lab_utils.llama.engine import GenerationRequest, RequestRefused
from lab_utils.llama.engine.request import check_length, check_request

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": 0}, r"max_tokens must be 1 to 2147483647, not 0\."),
    ({"max_tokens": -5}, r"max_tokens must be 1 to .*, not -5\."),
    ({"max_tokens": 2.5}, r"max_tokens must be a whole number, not 2\.5\."),
    ({"max_tokens": True}, r"max_tokens must be a whole number, not True\."),
    ({"temperature": -0.1}, r"temperature must be 0 to 100, not -0\.1\."),
    ({"temperature": math.nan}, r"temperature must be 0 to 100, not nan\."),
    ({"temperature": math.inf}, r"temperature must be 0 to 100, not inf\."),
    ({"temperature": "hot"}, r"temperature must be a number, not hot\."),
    ({"top_k": -1}, r"top_k must be 0 to 2147483647, not -1\."),
    ({"top_p": 0}, r"top_p must be above 0 and at most 1, not 0\.0\."),
    ({"top_p": 1.01}, r"top_p must be above 0 and at most 1, not 1\.01\."),
    ({"top_p": math.nan}, r"top_p must be -?.*, not nan\."),
    ({"seed": -1}, r"seed must be 0 to 18446744073709551615, not -1\."),
    ({"seed": 2**64}, r"seed must be 0 to 18446744073709551615, not 18446744073709551616\."),
    ({"stop": ("",)}, r"stop needs texts of 1 to 256 characters, not a text of 0 characters\."),
    ({"stop": ("x" * 257,)}, r"stop needs texts of 1 to 256 characters, not a text of 257 characters\."),
    ({"stop": ("x",) * 17}, r"stop may have at most 16 texts, not 17 texts\."),
    ({"stop": (3,)}, r"stop must be a list of texts"),
    ({"stop": 3}, r"stop must be a list of texts, not 3\."),
    ({"ignore_eos": 1}, r"ignore_eos must be true or false, not 1\."),
    ({"prompt": b"x"}, r"prompt must be a text, not b'x'\."),
    ({"prompt": "a\ud800"}, r"prompt must be valid Unicode"),
]


@pytest.mark.parametrize(("changes", "words"), WRONG, ids=[str(changes)[:40] for changes, _ in WRONG])
def test_refusals(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestRefused, match=words) as caught:
        check_request(GenerationRequest(**{"prompt": "x", **changes}))
    assert caught.value.reason == "invalid"
    assert caught.value.fix


def test_a_good_request_becomes_plain_numbers() -> None:
    request = check_request(
        GenerationRequest(
            "x",
            max_tokens=np.int32(5),
            temperature=np.float32(0.5),
            top_k=np.int32(3),
            top_p=1,
            seed=np.uint64(2**64 - 1),
            stop="end",  # type: ignore[arg-type]
        )
    )
    assert request == GenerationRequest("x", 5, 0.5, 3, 1.0, 2**64 - 1, ("end",))
    assert [type(v) for v in (request.max_tokens, request.temperature, request.seed)] == [int, float, int]


def test_prompt_and_answer_must_fit_in_a_slot() -> None:
    asked = GenerationRequest("x", max_tokens=50)
    assert check_length(asked, 50, 100) == 50
    with pytest.raises(RequestRefused, match=r"max_tokens is 50; at most 49 fit after this prompt"):
        check_length(asked, 51, 100)
    with pytest.raises(RequestRefused, match=r"The prompt has 100 tokens; at most 99 fit"):
        check_length(asked, 100, 100)
    with pytest.raises(RequestRefused, match="at least one token"):
        check_length(asked, 0, 100)
    assert check_length(GenerationRequest("x"), 10, 100) == 64
    assert check_length(GenerationRequest("x"), 90, 100) == 10
