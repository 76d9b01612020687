"""Checkpoint 3.12: a client that reads several requests from one gRPC stream."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from lab_utils.checks.asking import shorten
from lab_utils.checks.lab3_client import Answers, Client
from lab_utils.checks.lab3_spoken import pieces, place_spoken, script
from lab_utils.checks.repositories import fresh_name
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed


def _no_errors(errors: list[str]) -> None:
    if not errors:
        return
    steps = {
        "alone": "Send all requests first, then read: a client that waits for each answer gives the "
        "server nothing to batch.",
        "max_tokens": "Use the argument `max_tokens`.",
        "unknown model": "Use the argument `model`.",
    }
    step = next((step for word, step in steps.items() if word in errors[0]), "See the message of the model.")
    refuse(expected="no request fails here", found=f"errors: {shorten(errors)}", next_step=step)


_SHORT = (
    "The end is missing. The final response may carry text too, or text without a token: add its text, then "
    "look at the flag."
)


def _judge_text(answers: Answers, texts: Sequence[str], if_short: str = _SHORT) -> None:
    for number, (answer, text) in enumerate(zip(answers, texts, strict=True)):
        if answer.text == text:
            continue
        if answer.text in texts:
            step = "The answers are in another order: `response.id` says to which prompt a response belongs."
        elif text.startswith(str(answer.text)):
            step = if_short
        elif text.endswith(str(answer.text)):
            step = "Each response brings *new* text: add it to what came before."
        else:
            step = "Responses of several requests come mixed: `response.id` says whose each one is."
        refuse(
            expected=f"the text of prompt {number} is {text!r}", found=f"{answer.text!r:.120}", next_step=step
        )


def _judge_arrivals(answers: Answers, counts: Sequence[Sequence[int]]) -> None:
    for answer, wanted in zip(answers, counts, strict=True):
        try:
            found = [int(count) for _, count in answer.arrivals]
        except (TypeError, ValueError):
            refuse(
                expected="`arrivals` holds pairs: moment and number of tokens",
                found=shorten(repr(answer.arrivals), 100),
                next_step="`answer.arrivals.append((moment, len(tokens)))`.",
            )
        if found == list(wanted):
            continue
        if found == [1] * len(wanted):
            step = "A response may carry several tokens: `len` of its `token_ids`."
        elif [count for count in found if count] == list(wanted):
            step = "A response without a token is no arrival: only its text counts."
        elif len(found) < len(wanted) and 0 not in wanted:
            step = "Each response with tokens is one arrival, the final one too."
        else:
            step = "Count the tokens of each response: `len` of its `token_ids`."
        refuse(
            expected=f"tokens of the responses: {list(wanted)}",
            found=f"`arrivals` has {found}",
            next_step=step,
        )


def _judge_moments(answer: Any, waits: Sequence[float]) -> None:
    """Moments a little after the pauses that the model made, whatever else the machine does."""
    moments = [float(moment) for moment, _ in answer.arrivals]
    found = [moments[0] - float(answer.sent)]
    found += [later - earlier for earlier, later in pairwise(moments)]
    if abs(found[0]) > 100:
        step = "Use one clock, `perf_counter()`, for `sent` and for the arrivals, in seconds."
    elif all(abs(gap) < 0.02 for gap in found[1:]):
        step = "All moments are one. Take the time in the callback, when a response comes."
    elif found[0] < waits[0] - 0.05:
        step = "`sent` is when the request was sent: take it before `async_stream_infer`."
    elif sum(found) < sum(waits) - 0.05:
        step = "Each response has a moment of its own: when it came."
    else:
        return
    refuse(
        expected=f"responses {', '.join(f'{wait:g} s' for wait in waits)} after the moment before",
        found=", ".join(f"{gap:.3f} s" for gap in found),
        next_step=step,
    )


def _judge_one(client: Client) -> None:
    """One request whose last response has text, tokens and the flag."""
    steps = pieces(["Tri", "ton ser", "ves"], [1, 3, 2])
    steps[-1]["final"] = True
    answers, errors = client.ask(
        [script(*steps)],
        "Read until each request had its last response: its parameter `triton_final_response` is true.",
    )
    _no_errors(errors)
    _judge_text(answers, ["Triton serves"])
    _judge_arrivals(answers, [[1, 3, 2]])


def _judge_empty_end(client: Client, limit: int) -> None:
    """One request that ends with an empty response, as most decoupled models do."""
    answers, errors = client.ask(
        [script({"limit": limit}, *pieces(["a", "b"], [1, 1]), {"text": "c", "tokens": 0, "finish": "stop"})],
        "This model ends with an empty response, which Triton keeps back unless you ask for it: "
        "`enable_empty_final_response=True`.",
        limit,
    )
    _no_errors(errors)
    _judge_text(answers, ["abc"])
    _judge_arrivals(answers, [[1, 1]])


def _judge_several(ctx: LabContext, client: Client) -> int:
    """Several requests at once, whose responses come mixed; the first one ends last."""
    words = ["größer", "κόσμος", "three", "日本語"]
    size = len(words)
    prompts, texts = [], []
    waits = [0.3, 0.2, 0.2]
    for number, word in enumerate(words):
        own = [f"{word}{int(ctx.rng.integers(100))} " for _ in range(3)]
        pause = waits if number == 0 else [0.05, 0.02, 0.02]
        said = [{**step, "wait": wait} for step, wait in zip(pieces(own, [1, 1, 1]), pause, strict=True)]
        prompts.append(script({"group": "all", "size": size}, *said))
        texts.append("".join(own))
    with ctx.recorder(client.address) as recorder:
        relayed = Client(ctx, client.function, recorder.address, client.model, client.start)
        # A client that asks one by one is told so by the model, after a second for each request.
        answers, errors = relayed.ask(
            prompts, "The end of one request is not the end of all: count them.", shortest=size + 3.0
        )
        streams = recorder.grpc_calls
    _no_errors(errors)
    missing = "The answers of the others are missing: a final response ends one request, not all."
    _judge_text(answers, texts, missing)
    if streams != 1:
        refuse(
            expected=f"one gRPC stream for {size} requests",
            found=f"{streams} gRPC calls",
            next_step="One stream carries all requests: `start_stream` once, then send each with its id.",
        )
    _judge_moments(answers[0], waits)
    return size


def _judge_errors(ctx: LabContext, client: Client) -> str:
    """One of three requests fails in the middle; an error names no request."""
    reason = f"slot {int(ctx.rng.integers(100))} is broken"
    prompts = [
        script(*pieces(["one ", "two"], [1, 1], wait=0.15)),
        script(*pieces(["half"], [1]), {"error": reason}),
        script(*pieces(["three ", "four"], [1, 1], wait=0.1)),
    ]
    answers, errors = client.ask(
        prompts, "A request that failed has no final response: its error is its end. Count it too."
    )
    if not errors:
        refuse(
            expected=f"one of three requests fails: its error is returned: [{reason!r}]",
            found="no error",
            next_step="The callback gets errors as `error`; put their text into the list.",
        )
    if errors != [reason]:
        refuse(
            expected=f"errors: [{reason!r}]",
            found=f"errors: {shorten(errors)}",
            next_step="`str(error)`, once for each request that failed.",
        )
    if answers[0].text != "one two" or answers[2].text != "three four":
        refuse(
            expected="the error of one request leaves the others alone",
            found=f"texts: {[answer.text for answer in answers]}",
            next_step="After an error go on reading until all requests have ended.",
        )
    return reason


@checkpoint(
    "3.12", title="A streaming client", points=5, minutes=10, difficulty=3, answers=("stream",),
    needs_server=False,
)  # fmt: skip
def check_stream(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """A decoupled model whose pieces, pauses and errors are known beforehand, on a server of the check's."""
    repository, model = ctx.scratch(), fresh_name(ctx, "spoken")
    place_spoken(repository, model)
    options = ["--disable-auto-complete-config", "--exit-timeout-secs=0"]
    begin = time.monotonic()
    server = ctx.fresh_server(repository, options=options, wait_for=[model])
    start = time.monotonic() - begin
    client = Client(ctx, answers["stream"], server.endpoints.grpc, model, start)
    _judge_one(client)
    _judge_empty_end(client, int(ctx.rng.integers(3, 90)))
    size = _judge_several(ctx, client)
    error = _judge_errors(ctx, client)
    return passed(
        f"{size} requests at once, each with its own text and times; an error harmed nobody else",
        error=error,
    )
