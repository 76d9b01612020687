"""`run_generation`: put a load of text generation on a model and measure every token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lab_utils.load.crew import LoadError
from lab_utils.load.generation_figures import summarize_generation
from lab_utils.load.generation_result import GenerationResult
from lab_utils.load.payload import Array, build_payload
from lab_utils.load.progress import Progress
from lab_utils.load.run import check_load
from lab_utils.load.session import Load
from lab_utils.load.summary import summarize
from lab_utils.load.tokens import pack_tokens
from lab_utils.load.view import ServerView

if TYPE_CHECKING:
    from lab_utils.server.base import Server

TOKENS = "token_ids"
"""The output that every model for text generation of this course has: INT32, the new tokens."""


def run_generation(
    target: Server | str,
    model: str,
    prompts: Sequence[str],
    *,
    max_tokens: Sequence[int] | int = 32,
    protocol: str = "stream",
    concurrency: int = 8,
    rate: float | None = None,
    arrival: str = "poisson",
    seconds: float = 5.0,
    requests: int | None = None,
    warmup: float = 1.0,
    expected: Sequence[Sequence[int]] | None = None,
    ignore_eos: bool = False,
    inputs: Mapping[str, Any] | None = None,
    processes: int | str = 1,
    client_timeout: float = 60.0,
    drain: float = 60.0,
    progress: bool = True,
    seed: int = 0,
) -> GenerationResult:
    """Put a load of text generation on a model: TTFT, ITL, end-to-end latency, tokens per second.

    The model takes `text_input` and `max_tokens` and gives `token_ids` (INT32, the new tokens of a
    response), as all models for text generation in `model_repository/` do.

    Args:
        target: A server (`lab.server`), or `host:port` of the protocol.
        model: The model.
        prompts: The prompts, sent in turn.
        max_tokens: The most tokens of an answer: one number, or one for each prompt.
        protocol: `stream` (decoupled models need it), or `grpc` or `http` for one response per request.
        concurrency: Closed loop: requests in flight. Each is sent when an answer has come.
        rate: Open loop: requests per second, sent when they are due. Then `concurrency` is not used.
        arrival: Of the open loop: `poisson` (independent users) or `constant`.
        seconds: How long to measure.
        requests: Measure exactly this many requests instead, from an idle server to the last answer.
        warmup: Seconds of the same load before the measurement. A good warm-up lasts longer than an
            answer: only then do requests end as often as they begin.
        expected: For each prompt the token ids of its whole answer. Every answer is compared with
            them; another one is a failure of the class `wrong_answer`.
        ignore_eos: Go on after an end token until `max_tokens`: a load of known lengths.
        inputs: More inputs for every request, by name: `{"temperature": np.float32(0.8)}`.
        processes: Load processes; `"auto"`: as many as keep each of them below a full core.
        client_timeout: Seconds after which a request is given up.
        drain: Seconds to wait at the end for answers still in flight. Their tokens count.
        progress: Show a bar when a person looks on and it takes more than a second.
        seed: Of the Poisson arrivals.

    Returns:
        The figures; after Ctrl-C those of the time until then.

    Raises:
        LoadError: The server or model cannot be asked, is no model for text generation, or the
            arguments do not fit together.
    """
    check_load(protocol, concurrency, rate, arrival, seconds, requests, processes, "lab")
    questions = _questions(prompts, max_tokens, expected)
    view = ServerView(target, protocol, model)
    try:
        _check_model(view)
        payload = build_payload(view, inputs=_requests(view, questions, ignore_eos, inputs or {}))
        load = Load(
            view, payload, concurrency, rate, arrival, client_timeout, drain, seed, processes, tokens=TOKENS
        )
        if expected is not None:
            load.expected = [[pack_tokens(question.answer)] for question in questions]
        bar = Progress(f"{model}: {load.label}", warmup + seconds if requests is None else None, progress)
        with bar:
            if requests is None:
                measured = load.for_seconds(seconds, warmup, False, bar)
            else:
                measured = load.for_requests(requests, warmup, bar)
        result = summarize(load.about(), measured)
        return summarize_generation(result, measured, expected is not None)
    finally:
        view.close()


@dataclass(frozen=True)
class _Question:
    prompt: str
    max_tokens: int
    answer: Sequence[int] = ()


def _questions(
    prompts: Sequence[str], max_tokens: Sequence[int] | int, expected: Sequence[Sequence[int]] | None
) -> list[_Question]:
    if isinstance(prompts, str) or not prompts:
        raise LoadError("There are no prompts.", fix='Give a list of texts: ["What is Triton?"].')
    lengths = [max_tokens] * len(prompts) if isinstance(max_tokens, int) else list(max_tokens)
    answers = [()] * len(prompts) if expected is None else list(expected)
    for name, given in (("max_tokens", lengths), ("expected", answers)):
        if len(given) != len(prompts):
            raise LoadError(
                f"{len(prompts)} prompts, and {len(given)} entries in {name}.",
                fix=f"Give one entry of {name} for each prompt.",
            )
    return [
        _Question(prompt, int(length), answer)
        for prompt, length, answer in zip(prompts, lengths, answers, strict=True)
    ]


def _check_model(view: ServerView) -> None:
    """Raise `LoadError` for a model that generates no text in the way of this course."""
    metadata = view.metadata()
    names = {entry["name"] for entry in metadata.get("inputs", [])}
    outputs = {entry["name"]: entry["datatype"] for entry in metadata.get("outputs", [])}
    if {"text_input", "max_tokens"} <= names and outputs.get(TOKENS) == "INT32":
        return
    raise LoadError(
        f"`{view.model}` is no model for text generation.",
        why=f"It needs the inputs text_input and max_tokens and the output {TOKENS} INT32; it has the inputs "
        f"{', '.join(sorted(names)) or 'none'} and the outputs {', '.join(sorted(outputs)) or 'none'}.",
        fix="Use run_load for it.",
    )


def _requests(
    view: ServerView, questions: Sequence[_Question], ignore_eos: bool, more: Mapping[str, Any]
) -> list[dict[str, Array]]:
    """The tensors of each request; a model that batches gets a batch of one row."""
    lead = (1,) if int(view.config().get("max_batch_size", 0)) > 0 else ()
    common = {name: np.asarray(value) for name, value in more.items()}
    if ignore_eos:
        common["ignore_eos"] = np.array(True)
    found = []
    for question in questions:
        tensors = common | {
            "text_input": np.array(question.prompt.encode(), dtype=np.object_),
            "max_tokens": np.array(question.max_tokens, dtype=np.int32),
        }
        found.append({name: value.reshape(lead + (value.shape or (1,))) for name, value in tensors.items()})
    return found
