"""The engine without Triton: the same load, from callbacks in the same process, in the same figures."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import numpy as np

from benchmarks.llama_work import Work
from lab_utils.llama.engine import Engine, GenerationRequest, Output
from lab_utils.load.faults import FAULTS
from lab_utils.load.figures import Window
from lab_utils.load.generation_figures import summarize_generation
from lab_utils.load.generation_result import GenerationResult
from lab_utils.load.plan import COLUMNS, OK
from lab_utils.load.result import LoadResult
from lab_utils.load.summary import Measured, summarize
from lab_utils.load.view import Counters


def run_in_process(
    engine: Engine, work: Work, clients: int, seconds: float, warmup: float
) -> GenerationResult:
    """A closed loop of `clients` requests for `seconds`, as `run_generation` makes one through a server."""
    crew = _Crew(engine, work)
    start = time.perf_counter()
    for _ in range(clients):
        _Client(crew).ask()
    time.sleep(warmup + seconds)
    crew.stopping = True
    for _ in range(clients):
        crew.ended.acquire()
    window = Window(start + warmup, start + warmup + seconds)
    rows = np.array([row for row, _ in crew.requests], dtype=np.float64).reshape(-1, len(COLUMNS))
    arrivals = np.array([one for _, own in crew.requests for one in own], dtype=np.float64).reshape(-1, 2)
    measured = Measured(rows, np.empty((0, 2)), crew.messages, [], window, Counters(), False, None, arrivals)
    about = LoadResult("engine in-process", "stream", concurrency=clients)
    return summarize_generation(summarize(about, measured), measured, work.answers is not None)


class _Crew:
    """What all clients share. Appending to a list and counting are atomic in Python."""

    def __init__(self, engine: Engine, work: Work) -> None:
        self.engine, self.work = engine, work
        self.numbers = itertools.count()
        self.requests: list[tuple[tuple[float, ...], list[tuple[float, int]]]] = []
        self.messages: dict[str, str] = {}
        self.stopping = False
        self.ended = threading.Semaphore(0)


class _Client:
    """Asks again as soon as the answer is there, from the engine's own callback."""

    def __init__(self, crew: _Crew) -> None:
        self.crew = crew

    def ask(self) -> None:
        crew = self.crew
        self.number = next(crew.numbers) % len(crew.work.prompts)
        self.arrivals: list[tuple[float, int]] = []
        self.tokens: list[int] = []
        self.sent = time.perf_counter()
        request = GenerationRequest(
            crew.work.prompts[self.number], max_tokens=crew.work.lengths[self.number], ignore_eos=True
        )
        crew.engine.submit(request, self.receive)

    def receive(self, output: Output) -> None:
        now = time.perf_counter()
        if output.token_ids:
            self.arrivals.append((now, len(output.token_ids)))
            self.tokens += output.token_ids
        if not output.final:
            return
        fault = self._fault(output)
        first = self.arrivals[0][0] if self.arrivals else now
        row = (self.sent, self.sent, first, now, fault, len(self.arrivals))
        self.crew.requests.append((row, self.arrivals))
        if self.crew.stopping:
            self.crew.ended.release()
        else:
            self.ask()

    def _fault(self, output: Output) -> int:
        answers: Any = self.crew.work.answers
        if output.error is not None:
            self.crew.messages.setdefault("model_error", str(output.error))
            return FAULTS.index("model_error")
        if answers is not None and self.tokens != answers[self.number]:
            self.crew.messages.setdefault("wrong_answer", f"prompt {self.number}: other tokens")
            return FAULTS.index("wrong_answer")
        return OK
