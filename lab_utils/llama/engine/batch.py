"""The requests that have slots, and the step that brings each one token further."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from lab_utils.llama.engine.delivery import Delivery, Outbox
from lab_utils.llama.engine.errors import EngineError
from lab_utils.llama.engine.plan import Plan, group_by_length, plan_prefill
from lab_utils.llama.engine.request import Output
from lab_utils.llama.engine.runner import Runner
from lab_utils.llama.engine.sampling import choose
from lab_utils.llama.engine.sequence import GeneratedSequence
from lab_utils.llama.engine.stats import OUTCOMES, Counts, EngineStats

_News = tuple[Outbox, int | None, str, Output | None]


class Batch:
    """Slots 0 to n-1 hold the n requests that are decoded; there is never a hole.

    All methods but `free` and `stats` are called by the engine's thread alone.

    Args:
        runner: The computation.
        delivery: Where answers go.
        prefill_tokens: Most prompt tokens that are read in one step.
    """

    def __init__(self, runner: Runner, delivery: Delivery, prefill_tokens: int) -> None:
        self._runner, self._delivery = runner, delivery
        self._budget = prefill_tokens
        self._ends = frozenset(runner.config.eos)
        self.slots = runner.slots
        self._running: list[GeneratedSequence] = []  # index = slot
        self._reading: GeneratedSequence | None = None  # the long prompt, in the reading slot
        self._taken: list[GeneratedSequence] = []  # taken in, not read yet
        # Slots in use. One number of its own, because other threads ask while requests go from list to list.
        self._used = 0
        self._told: float | None = None  # when the running requests got their newest token
        self._counts = Counts()

    @property
    def free(self) -> int:
        """Slots that nobody has."""
        return self.slots - self._used

    @property
    def busy(self) -> bool:
        """Whether there is anything to compute."""
        return self._used > 0

    def warm_up(self, threads: int) -> None:
        """Compile the steps, on the thread that will run them."""
        with torch.inference_mode():
            self._runner.warm_up(threads)

    def take_in(self, waiting: deque[GeneratedSequence]) -> int:
        """Give slots to requests of the queue, as many as this step can read; they leave the queue.

        Returns:
            Tokens of the long prompt to read in this step.
        """
        unread = len(self._reading.prompt) - self._reading.read if self._reading else 0
        lengths = [len(sequence.prompt) for sequence in waiting]
        plan: Plan = plan_prefill(lengths, self.free, unread, self._budget)
        if plan.start is not None:
            self._reading = waiting[plan.start]
        self._taken = [waiting[at] for at in plan.whole]
        gone = sorted((*plan.whole, *([] if plan.start is None else [plan.start])), reverse=True)
        for at in gone:
            del waiting[at]
        self._used += len(gone)
        return plan.chunk

    def drop_cancelled(self, waiting: Iterable[GeneratedSequence]) -> None:
        """End the cancelled requests: those given (they were in the queue) and those that have slots."""
        dropped = [sequence for sequence in self._running if sequence.handle.cancelled]
        self._leave(dropped)
        if self._reading and self._reading.handle.cancelled:
            dropped.append(self._reading)
            self._reading = None
        self._used -= len(dropped)
        self._delivery.post([self._end(s, "cancelled") for s in (*waiting, *dropped)])

    def step(self, chunk: int) -> None:
        """Read prompts within the budget, then make one token for every request that is running.

        Args:
            chunk: Tokens of the long prompt to read.

        Raises:
            Exception: Whatever a decode step raises: no request can go on after that.
        """
        with torch.inference_mode():
            self._read_whole()
            if self._reading and chunk:
                self._read_piece(self._reading, chunk)
            if self._running:
                self._decode()

    def take_all(self) -> list[GeneratedSequence]:
        """All requests that have slots; they lose them."""
        found = [*self._running, *self._taken, *([self._reading] if self._reading else [])]
        self._running, self._taken, self._reading = [], [], None
        self._used = 0
        return found

    def fail(self, sequences: Sequence[GeneratedSequence], error: Exception) -> None:
        """End requests with an error."""
        self._delivery.post([self._end(sequence, "error", error) for sequence in sequences])

    def stats(self, waiting: int, refused: int, failure: str, undelivered: int) -> EngineStats:
        """A look from outside; numbers of one step may be a step apart."""
        counts = self._counts
        return EngineStats(
            slots=self.slots,
            active=self._used,
            waiting=waiting,
            undelivered=undelivered,
            prompt_tokens=counts.prompt_tokens,
            generated_tokens=counts.generated_tokens,
            steps=counts.steps,
            rows=counts.rows,
            prefills=counts.prefills,
            ended={outcome: counts.ended[outcome] for outcome in OUTCOMES},
            refused=refused,
            ttft=counts.ttft.copy(),
            itl=counts.itl.copy(),
            weights_bytes=self._runner.room.weights,
            kv_bytes=self._runner.cache.bytes,
            failure=failure,
        )

    def new_times(self) -> tuple[list[float], list[float]]:
        """Times to the first token and between tokens since the last call, in seconds."""
        return self._counts.ttft.drain(), self._counts.itl.drain()

    def _read_whole(self) -> None:
        taken = list(self._taken)
        for group in group_by_length([len(s.prompt) for s in taken]):
            self._prefill([taken[at] for at in group])

    def _prefill(self, sequences: list[GeneratedSequence]) -> None:
        first = len(self._running)
        try:
            logits = self._runner.prefill([s.prompt for s in sequences], range(first, first + len(sequences)))
        except Exception as error:
            # What a prompt does is its own affair: find the one that fails, the others are innocent.
            if len(sequences) > 1:
                for sequence in sequences:
                    self._prefill([sequence])
            else:
                self._taken.remove(sequences[0])
                self._used -= 1
                self.fail(sequences, _failed("Reading the prompt", error))
            return
        for sequence in sequences:
            self._taken.remove(sequence)
        self._counts.prefills += 1
        self._running += sequences
        self._begin(sequences, logits)

    def _read_piece(self, sequence: GeneratedSequence, chunk: int) -> None:
        piece = sequence.prompt[sequence.read : sequence.read + chunk]
        try:
            logits = self._runner.extend(piece, sequence.read)
        except Exception as error:
            self._reading = None
            self._used -= 1
            self.fail([sequence], _failed("Reading the prompt", error))
            return
        self._counts.prefills += 1
        sequence.read += len(piece)
        if sequence.read == len(sequence.prompt):
            self._reading = None
            self._runner.move(self._runner.reading_slot, len(self._running), sequence.read)
            self._running.append(sequence)
            self._begin([sequence], logits[None])

    def _begin(self, sequences: list[GeneratedSequence], logits: Tensor) -> None:
        """The first token of requests whose prompts have been read."""
        self._counts.prompt_tokens += sum(len(s.prompt) for s in sequences)
        self._extend_answers(sequences, logits)
        now = time.perf_counter()
        for sequence in sequences:
            self._counts.ttft.add(now - sequence.arrived)
        if self._told is None and self._running:
            self._told = now

    def _decode(self) -> None:
        running = list(self._running)
        logits = self._runner.decode([s.last for s in running], [s.position for s in running])
        before = self._told
        self._extend_answers(running, logits)
        now = time.perf_counter()
        self._counts.steps += 1
        self._counts.rows += len(running)
        if before is not None:
            self._counts.itl.add(now - before)
        if self._running:
            self._told = now

    def _extend_answers(self, sequences: Sequence[GeneratedSequence], logits: Tensor) -> None:
        """Choose a token for each row, send it off, and let go of the requests that end with it."""
        tokens = choose(logits, [s.sampler for s in sequences])
        news: list[_News] = []
        left: list[GeneratedSequence] = []
        for sequence, token in zip(sequences, tokens, strict=True):
            try:
                text, ending = sequence.add(token, self._ends)
            except Exception as error:
                left.append(sequence)
                failure = error if isinstance(error, EngineError) else _failed("Making the text", error)
                news.append(self._end(sequence, "error", failure))
                continue
            end = None
            if ending:
                left.append(sequence)
                end = self._end(sequence, ending)[-1]
            news.append((sequence.outbox, token, text, end))
        self._counts.generated_tokens += len(sequences) - tokens.count(None)
        # First free, then tell: who has its answer may ask again at once, and must find the place free. And
        # first tell, then move: whatever moving does, the answers are out.
        self._used -= len(left)
        self._delivery.post(news)
        self._leave(left)

    def _leave(self, sequences: Iterable[GeneratedSequence]) -> None:
        """Take requests out of their slots; the last running one moves into each hole."""
        gone = set(map(id, sequences))
        if not gone:
            return
        holes = [slot for slot, s in enumerate(self._running) if id(s) in gone]
        for hole in reversed(holes):
            last = self._running.pop()
            if hole < len(self._running):
                # `position` tokens are in the cache; the newest one is not there yet.
                self._runner.move(len(self._running), hole, last.position)
                self._running[hole] = last
        if not self._running:
            self._told = None

    def _end(self, sequence: GeneratedSequence, reason: str, error: Exception | None = None) -> _News:
        self._counts.ended[reason] += 1
        return sequence.outbox, None, "", Output(finish_reason=reason, error=error)


def _failed(what: str, error: Exception) -> EngineError:
    return EngineError(
        f"{what} failed.", why=f"{type(error).__name__}: {error}", fix="See the log of the server."
    )
