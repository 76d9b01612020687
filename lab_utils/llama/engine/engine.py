"""Many answers at once: requests join and leave at every step of one thread."""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from lab_utils.llama.engine.batch import Batch
from lab_utils.llama.engine.delivery import Delivery, OnOutput, Outbox
from lab_utils.llama.engine.errors import EngineError, RequestRefused
from lab_utils.llama.engine.request import GenerationRequest, Output, check_length, check_request
from lab_utils.llama.engine.runner import Runner
from lab_utils.llama.engine.sampling import Sampler
from lab_utils.llama.engine.sequence import GeneratedSequence, Handle
from lab_utils.llama.engine.stats import EngineStats
from lab_utils.llama.engine.text import TextStream, TokenBytes, read_tokenizer

_log = logging.getLogger(__name__)


class Engine:
    """A Llama that answers many requests at the same time.

    One thread computes. Before every step it takes in new requests and lets go of those that are complete
    or cancelled (continuous batching); the step then makes one token for each request that is running.

    Args:
        folder: A Hugging Face folder with a Llama and its `tokenizer.json`.
        slots: Requests that are decoded together.
        max_length: Tokens per request, prompt and answer together.
        max_queue: Requests that may wait while all slots are taken; the next one is refused.
        prefill_tokens: Most prompt tokens that are read between two steps.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        threads: Threads of one operator on the CPU; 0 is one per core, 4 at most.

    Raises:
        LlamaError: The folder holds no Llama.
        EngineError: It does not fit, or a setting is wrong.
    """

    def __init__(
        self,
        folder: Path | str,
        slots: int = 16,
        max_length: int = 512,
        max_queue: int = 64,
        prefill_tokens: int = 256,
        dtype: str = "auto",
        device: str = "auto",
        threads: int = 1,
    ) -> None:
        limits = {"slots": (slots, 1), "max_length": (max_length, 2), "max_queue": (max_queue, 0)}
        for name, (value, low) in {
            **limits,
            "prefill_tokens": (prefill_tokens, 2),
            "threads": (threads, 0),
        }.items():
            if value < low:
                raise EngineError(f"{name} is {value}; it must be {low} or more.", fix=f"Change {name}.")
        folder = Path(folder)
        self.max_queue = max_queue
        self._tokenizer = read_tokenizer(folder)
        self._pieces = TokenBytes(self._tokenizer)
        self._runner = Runner(folder, slots, max_length, dtype, device)
        self.config = self._runner.config
        self.max_length = max_length
        self._delivery = Delivery(_sender_threads())
        self._batch = Batch(self._runner, self._delivery, prefill_tokens)
        # Everything below is shared between threads and guarded by this.
        self._changed = threading.Condition()
        self._waiting: deque[GeneratedSequence] = deque()
        self._cancelled = False
        self._closing = False
        self._failure: str = ""
        self._refused = 0
        started = threading.Event()
        arguments = (threads or min(_cores(), 4), started)
        self._thread = threading.Thread(target=self._run, args=arguments, name="llama-engine", daemon=True)
        self._thread.start()
        # A thread that computes while the interpreter goes away aborts the process.
        atexit.register(self.close)
        started.wait()
        if self._failure:
            self.close()
            raise EngineError("The model was loaded, but a first step failed.", why=self._failure, fix=_AGAIN)
        _log.info("%s", self.describe())

    def submit(self, request: GenerationRequest, on_output: OnOutput) -> Handle:
        """Take a request in; returns at once.

        Args:
            request: What to answer.
            on_output: Called on a thread of the engine with every `Output`, in order, never by two threads at
                once. If it raises, the request is cancelled.

        Returns:
            A handle to cancel it with.

        Raises:
            RequestRefused: The request is wrong, the queue is full, or the engine does not run.
        """
        try:
            return self._submit(request, on_output)
        except RequestRefused:
            with self._changed:
                self._refused += 1
            raise

    def stream(self, request: GenerationRequest) -> Iterator[Output]:
        """The outputs of one request as they come; stop iterating and it is cancelled.

        Raises:
            RequestRefused: As `submit`.
            EngineError: The request failed on the way.
        """
        outputs: queue.SimpleQueue[Output] = queue.SimpleQueue()
        handle = self.submit(request, outputs.put)
        try:
            while True:
                output = outputs.get()
                if output.error is not None:
                    raise output.error
                yield output
                if output.final:
                    return
        finally:
            handle.cancel()

    def generate(self, request: GenerationRequest) -> Output:
        """The whole answer of one request.

        Raises:
            RequestRefused: As `submit`.
            EngineError: The request failed on the way.
        """
        parts = list(self.stream(request))
        return Output(
            "".join(part.text for part in parts),
            tuple(token for part in parts for token in part.token_ids),
            parts[-1].finish_reason,
        )

    def stats(self) -> EngineStats:
        """What the engine has done and is doing."""
        with self._changed:
            waiting, refused, failure = len(self._waiting), self._refused, self._failure
        return self._batch.stats(waiting, refused, failure, self._delivery.undelivered)

    def new_times(self) -> tuple[list[float], list[float]]:
        """Times to the first token and between tokens since the last call, in seconds."""
        return self._batch.new_times()

    def describe(self) -> str:
        """One line for the log: the model, its memory, the limits."""
        return f"{self._runner.describe()}. At most {self.max_queue} requests wait."

    def close(self) -> None:
        """End: what is on its way fails, threads end. Twice does no harm."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self._delivery.close()
        atexit.unregister(self.close)

    def _submit(self, request: GenerationRequest, on_output: OnOutput) -> Handle:
        arrived = time.perf_counter()
        request = check_request(request)
        if len(request.prompt) > self.max_length * self._pieces.longest:
            # Not worth the time of the tokenizer.
            raise RequestRefused(
                f"The prompt has {len(request.prompt):,} characters: more than {self.max_length:,} tokens.",
                "invalid",
                why=f"max_length is {self.max_length:,} tokens, prompt and answer together, and no token of "
                f"this model has more than {self._pieces.longest} characters.",
                fix="Send a shorter prompt, or raise the parameter max_length of the model.",
            )
        prompt = self._tokenizer.encode(request.prompt).ids
        limit = check_length(request, len(prompt), self.max_length)
        no_text_before = not any(self._pieces[token] for token in prompt)
        handle = Handle(limit, self._wake)
        sequence = GeneratedSequence(
            handle,
            request,
            prompt,
            Outbox(on_output, lambda _: handle.cancel()),
            TextStream(self._pieces, request.stop, starts_text=no_text_before),
            Sampler.of(request),
            arrived,
        )
        with self._changed:
            if self._closing or self._failure:
                raise RequestRefused(
                    "The engine does not run any more.",
                    "failed",
                    why=self._failure or "It was closed.",
                    fix=_AGAIN,
                )
            self._refuse_when_full()
            self._waiting.append(sequence)
            self._changed.notify()
        return handle

    def _refuse_when_full(self) -> None:
        waiting, undelivered, free = len(self._waiting), self._delivery.undelivered, self._batch.free
        # Answers that nobody takes count, too: a receiver that is stuck must not fill the memory.
        if waiting + undelivered < self.max_queue + free:
            return
        # Requests for which there is a free slot do not wait: the next step takes them in.
        reasons = [f"All {self._batch.slots} slots are taken."] if waiting >= free else []
        if undelivered:
            reasons.append(f"{undelivered} complete answers wait for their clients to take them.")
        raise RequestRefused(
            f"The queue is full: {max(0, waiting - free)} requests wait, max_queue is {self.max_queue}.",
            "busy",
            why=" ".join(reasons),
            fix="Ask again later, or raise the parameter max_queue of the model.",
        )

    def _wake(self) -> None:
        with self._changed:
            self._cancelled = True
            self._changed.notify()

    def _run(self, threads: int, started: threading.Event) -> None:
        try:
            self._batch.warm_up(threads)
            started.set()
            while self._next_step():
                pass
            reason = "The engine was closed."
        except BaseException as error:
            _log.exception("The engine's thread ends")
            reason = f"The engine's thread ended with {type(error).__name__}: {error}"
        with self._changed:
            self._failure = reason
            left = [*self._batch.take_all(), *self._waiting]
            self._waiting.clear()
        self._batch.fail(left, EngineError("The request was not finished.", why=reason, fix=_AGAIN))
        started.set()

    def _next_step(self) -> bool:
        """Wait for work, do one step of it. False when the engine is being closed."""
        with self._changed:
            while not (self._waiting or self._batch.busy or self._closing or self._cancelled):
                self._changed.wait()
            if self._closing:
                return False
            if self._cancelled:
                self._cancelled = False
                gone = [s for s in self._waiting if s.handle.cancelled]
                for sequence in gone:
                    self._waiting.remove(sequence)
                self._batch.drop_cancelled(gone)
            chunk = self._batch.take_in(self._waiting)
        self._batch.step(chunk)
        return True


_AGAIN = "Load the model again; the log of the server has the details."


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _sender_threads() -> int:
    """One on a small machine: answers that wait for it go out together, and each sending costs as much.

    Measured on 2 cores with 16 streams of the small Llama: 1.2 times the tokens per second of two threads.
    """
    return max(1, min(4, _cores() // 4))
