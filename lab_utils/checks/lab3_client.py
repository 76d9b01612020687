"""How checkpoint 3.12 asks a student's streaming client: time limits, and what an error means."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from lab_utils.checks.asking import CONNECTION_ERRORS, need_return, shorten, with_hint
from lab_utils.progress.context import LabContext, Refusal, refuse

_SHORTEST, _LONGEST = 3.0, 20.0
"""Limits for one call, in seconds. The longest case takes less than one on a machine that is not busy."""

Answers = Sequence[Any]


@contextlib.contextmanager
def _thread_errors() -> Iterator[list[str]]:
    """Errors that end a thread unseen, such as the one in which tritonclient calls the callback."""
    found: list[str] = []
    before = threading.excepthook
    threading.excepthook = lambda args: found.append(f"{args.exc_type.__name__}: {args.exc_value}")
    try:
        yield found
    finally:
        threading.excepthook = before


class Client:
    """The student's function, asked again and again.

    Args:
        ctx: The check's context.
        function: `stream`.
        address: gRPC `host:port`.
        model: The check's own decoupled model.
        start: Seconds that the server took to start: they tell how busy the machine is, and how long to
            wait for a client.
    """

    def __init__(self, ctx: LabContext, function: Any, address: str, model: str, start: float) -> None:
        self.ctx, self.function, self.address, self.model = ctx, function, address, model
        self.start = start

    def ask(
        self, prompts: list[str], if_it_hangs: str, max_tokens: int = 7, shortest: float = _SHORTEST
    ) -> tuple[Answers, list[str]]:
        """Answers and errors for these prompts.

        Args:
            prompts: See `script`.
            if_it_hangs: The next step when the function does not return.
            max_tokens: Handed on.
            shortest: The limit in seconds on a machine that is not busy.

        Raises:
            Refusal: It failed, did not end, or did not return a pair of lists.
        """
        with _thread_errors() as unseen:
            try:
                limit = min(max(shortest, 4 * self.start), _LONGEST)
                value = self.ctx.call(
                    self.function, self.address, self.model, prompts, max_tokens, timeout=limit
                )
            except Refusal as refusal:
                self._explain(refusal, unseen, if_it_hangs)
        need_return("stream", value)
        return self._pair(value, len(prompts))

    def _explain(self, refusal: Refusal, unseen: list[str], if_it_hangs: str) -> None:
        verdict = refusal.verdict
        if unseen:
            names = "unexpected keyword argument" in unseen[0]
            refuse(
                expected="the callback takes what tritonclient hands to it",
                found=f"it raised, in a thread that nobody watches: {shorten(unseen[0])}",
                next_step="tritonclient calls `callback(result=…, error=…)`: these must be the names of its "
                "parameters."
                if names
                else "With an error `result` is None: look at `error` first.",
            )
        if "did not return" in verdict.found:
            refuse(expected=verdict.expected, found=verdict.found, next_step=if_it_hangs)
        if verdict.evidence.get("error") in CONNECTION_ERRORS or "UNAVAILABLE" in verdict.found:
            refuse(
                expected=f"`stream` asks the server at the given address {self.address}",
                found=verdict.found,
                next_step="Use the argument `url`.",
            )
        hints = {
            "invalid literal for int": "Give each request an id when you send it: "
            "`request_id=str(number)`. It comes back with each of its responses.",
            "does not support 'infer'|decoupled": "A decoupled model is asked with `async_stream_infer`.",
            "'NoneType' object": "A final response may be empty, and with an error `result` is None.",
            "concatenate str|can only concatenate": "`text_output` holds bytes: `.decode()`.",
            r"slot \d+ is broken": "Put the text of an error into the list, and go on: do not raise it.",
        }
        with_hint(refusal, hints)

    @staticmethod
    def _pair(value: Any, count: int) -> tuple[Answers, list[str]]:
        expected = f"`stream` returns a list of {count} answers and a list of errors"
        if not isinstance(value, tuple) or len(value) != 2 or not isinstance(value[1], list):
            refuse(
                expected=expected,
                found=f"it returned {shorten(repr(value), 80)}",
                next_step="`return answers, errors`.",
            )
        answers, errors = value
        if not isinstance(answers, list) or not all(hasattr(one, "arrivals") for one in answers):
            refuse(
                expected=expected,
                found=f"its answers are {shorten(repr(answers), 80)}",
                next_step="One `Answer` for each prompt, in the order of the prompts.",
            )
        if len(answers) != count:
            refuse(
                expected=expected,
                found=f"it returned {len(answers)} answers",
                next_step="Each prompt has its `Answer`, one that failed too.",
            )
        if not all(isinstance(error, str) for error in errors):
            refuse(
                expected="errors are texts",
                found=f"they are {shorten(repr(errors), 80)}",
                next_step="`str(error)` is the message of Triton.",
            )
        return answers, errors
