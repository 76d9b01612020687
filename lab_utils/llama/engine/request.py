"""What a client may ask the engine for, and the refusal of everything else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from lab_utils.llama.engine.errors import RequestRefused

DEFAULT_MAX_TOKENS = 64
MAX_TEMPERATURE = 100.0
MAX_STOPS = 16
MAX_STOP_LENGTH = 256
MAX_SEED = 2**64 - 1


@dataclass(frozen=True)
class GenerationRequest:
    """One prompt, and how its answer is to be made.

    Attributes:
        prompt: The text to continue.
        max_tokens: Most tokens of the answer. None: 64, or less where the slot has less room.
        temperature: 0 takes the most probable token every time (greedy). Above 0 tokens are drawn at
            random; a higher temperature makes rare tokens more likely.
        top_k: Draw among the k most probable tokens only; 0 draws among all.
        top_p: Draw among the most probable tokens whose probabilities add up to `top_p`; 1 draws among all.
        seed: Same seed, same request: same answer, whatever else is being computed. None: a random one.
        stop: Texts that end the answer. The text found is not part of the answer.
        ignore_eos: Go on to `max_tokens` although the model says that the answer is complete.
    """

    prompt: str
    max_tokens: int | None = None
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False


@dataclass(frozen=True)
class Output:
    """What one call of `on_output` brings: everything that came up since the last one.

    Attributes:
        text: New text. All texts of a request, joined, are its answer.
        token_ids: New tokens: at least one, except in an output that only ends the request.
        finish_reason: Empty until the last output, then `stop` (end-of-sequence token or stop text),
            `length` (max_tokens reached), `cancelled` or `error`.
        error: Why the request failed; None otherwise.
    """

    text: str = ""
    token_ids: tuple[int, ...] = ()
    finish_reason: str = ""
    error: Exception | None = None

    @property
    def final(self) -> bool:
        """Whether nothing follows."""
        return bool(self.finish_reason)


def check_request(request: GenerationRequest) -> GenerationRequest:
    """The request with plain numbers in it.

    Raises:
        RequestRefused: A parameter is out of its range; the message has its name, its value and the range.
    """
    if not isinstance(request.prompt, str):
        raise _invalid("prompt", request.prompt, "must be a text")
    if any(0xD800 <= ord(c) <= 0xDFFF for c in request.prompt):
        raise _invalid("prompt", "a text with half a character (a lone surrogate)", "must be valid Unicode")
    limit = request.max_tokens
    if limit is not None:
        limit = _whole("max_tokens", limit, 1, 2**31 - 1)
    if not isinstance(request.ignore_eos, bool):
        raise _invalid("ignore_eos", request.ignore_eos, "must be true or false")
    return replace(
        request,
        max_tokens=limit,
        temperature=_number("temperature", request.temperature, 0.0, MAX_TEMPERATURE),
        top_k=_whole("top_k", request.top_k, 0, 2**31 - 1),
        top_p=_share("top_p", request.top_p),
        seed=None if request.seed is None else _whole("seed", request.seed, 0, MAX_SEED),
        stop=_stops(request.stop),
    )


def check_length(request: GenerationRequest, prompt_tokens: int, max_length: int) -> int:
    """Tokens that the answer may have.

    Args:
        request: A checked request.
        prompt_tokens: Length of its prompt in tokens.
        max_length: Tokens that fit in one slot: prompt and answer together.

    Raises:
        RequestRefused: Prompt and answer do not fit.
    """
    room = max_length - prompt_tokens
    if prompt_tokens == 0:
        raise _invalid("prompt", "", "must have at least one token, and this model puts none in front")
    if room < 1:
        raise RequestRefused(
            f"The prompt has {prompt_tokens:,} tokens; at most {max_length - 1:,} fit.",
            "invalid",
            why=f"max_length is {max_length:,} tokens, prompt and answer together.",
            fix="Send a shorter prompt, or raise the parameter max_length of the model.",
        )
    if request.max_tokens is None:
        return min(DEFAULT_MAX_TOKENS, room)
    if request.max_tokens > room:
        raise RequestRefused(
            f"max_tokens is {request.max_tokens:,}; at most {room:,} fit after this prompt.",
            "invalid",
            why=f"max_length is {max_length:,} tokens, and the prompt takes {prompt_tokens:,} of them.",
            fix=f"Send max_tokens of {room:,} or less, or raise the parameter max_length of the model.",
        )
    return request.max_tokens


def _stops(found: Any) -> tuple[str, ...]:
    texts = (found,) if isinstance(found, str) else tuple(found) if isinstance(found, Sequence) else None
    if texts is None or any(not isinstance(text, str) for text in texts):
        raise _invalid("stop", found, "must be a list of texts")
    if len(texts) > MAX_STOPS:
        raise _invalid("stop", f"{len(texts)} texts", f"may have at most {MAX_STOPS} texts")
    for text in texts:
        if not 1 <= len(text) <= MAX_STOP_LENGTH:
            raise _invalid(
                "stop",
                f"a text of {len(text)} characters",
                f"needs texts of 1 to {MAX_STOP_LENGTH} characters",
            )
    return texts


def _whole(name: str, value: Any, low: int, high: int) -> int:
    # numpy's integers are welcome, True is not: it would silently mean 1.
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise _invalid(name, value, "must be a whole number")
    if not low <= value <= high:
        raise _invalid(name, value, f"must be {low} to {high}")
    return int(value)


def _number(name: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise _invalid(name, value, "must be a number")
    value = float(value)
    if not math.isfinite(value) or not low <= value <= high:
        raise _invalid(name, value, f"must be {low:g} to {high:g}")
    return value


def _share(name: str, value: Any) -> float:
    value = _number(name, value, -math.inf, math.inf)
    if not 0 < value <= 1:
        raise _invalid(name, value, "must be above 0 and at most 1")
    return value


def _invalid(name: str, value: Any, rule: str) -> RequestRefused:
    shown = value if isinstance(value, str) else repr(value)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return RequestRefused(
        f"{name} {rule}, not {shown or 'empty'}.",
        "invalid",
        fix=f"Change {name}, or leave it out." if name != "prompt" else "Send another prompt.",
    )
