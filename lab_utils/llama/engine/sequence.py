"""One request inside the engine, and the handle that its sender holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lab_utils.llama.engine.delivery import Outbox
from lab_utils.llama.engine.errors import EngineError
from lab_utils.llama.engine.request import GenerationRequest
from lab_utils.llama.engine.sampling import Sampler
from lab_utils.llama.engine.text import TextStream


class Handle:
    """What `submit` gives back.

    Attributes:
        max_tokens: Most tokens that the answer will have.
        cancelled: Whether somebody has called `cancel`.
    """

    def __init__(self, max_tokens: int, wake: Callable[[], None]) -> None:
        self.max_tokens = max_tokens
        self.cancelled = False
        self._wake = wake

    def cancel(self) -> None:
        """Give the request up, from any thread and at any time; twice does no harm.

        The engine takes it out before its next step. One last output follows, with `cancelled` (or what
        ended the request first).
        """
        if not self.cancelled:
            self.cancelled = True
            self._wake()


@dataclass(eq=False)
class GeneratedSequence:
    """A request on its way: in the queue, in a slot, or done.

    Attributes:
        handle: Of its sender.
        request: The checked request.
        prompt: Token ids of the prompt.
        outbox: Where its answer goes.
        text: Makes text of its tokens.
        sampler: Chooses its tokens.
        arrived: When it was submitted, by `time.perf_counter`; before its prompt became tokens.
        read: Tokens of the prompt that are in the cache.
        made: Tokens of the answer so far.
        last: The newest token: known, but not in the cache yet.
    """

    handle: Handle
    request: GenerationRequest
    prompt: list[int]
    outbox: Outbox
    text: TextStream
    sampler: Sampler
    arrived: float
    read: int = 0
    made: int = 0
    last: int = field(default=-1, repr=False)

    @property
    def position(self) -> int:
        """Where `last` goes in the slot: the number of tokens in front of it."""
        return len(self.prompt) + self.made - 1

    def add(self, token: int | None, ends: frozenset[int]) -> tuple[str, str]:
        """Take the next token in.

        Args:
            token: The token; None if the model computed no number for it.
            ends: End-of-sequence ids of the model.

        Returns:
            New text, and why the answer is complete with this token (empty if it is not).

        Raises:
            EngineError: There is no token.
        """
        if token is None:
            raise EngineError(
                "The model computed no number for the next token (NaN or infinity).",
                why="The numbers of this answer do not fit into the dtype, or the weights are damaged.",
                fix="Load the model with dtype bfloat16 or float32.",
            )
        self.last = token
        self.made += 1
        text = self.text.push(token)
        if self.text.stopped:
            return text, "stop"
        ending = ""
        if token in ends and not self.request.ignore_eos:
            ending = "stop"
        elif self.made >= self.handle.max_tokens:
            ending = "length"
        return (text + self.text.finish() if ending else text), ending
