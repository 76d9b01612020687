"""Many clients at once, each request with a payload of its own, and a judge of the answers."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import httpx
import numpy as np
import tritonclient.grpc
import tritonclient.http
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from lab_utils.server.base import Server

Array = NDArray[Any]
CLIENTS = 16
TYPES = {"float32": "FP32", "uint8": "UINT8"}


@dataclass(frozen=True)
class Question:
    """One request and the only right answer to it.

    Attributes:
        inputs: Array by input name; no two questions of a crowd have the same content.
        output: Name of the output that is judged.
        expected: What it must hold.
        tolerance: 0 demands the same bits.
    """

    model: str
    inputs: dict[str, Array]
    output: str
    expected: Array
    tolerance: float = 0.0

    def fault(self, answer: Array | Exception) -> str | None:
        """What is wrong with an answer, or None."""
        if isinstance(answer, Exception):
            return f"{type(answer).__name__}: {answer}"
        if answer.shape != self.expected.shape:
            return f"shape {answer.shape}, not {self.expected.shape}"
        if self.tolerance == 0:
            good = answer.tobytes() == self.expected.tobytes()
        else:
            good = bool(np.allclose(answer, self.expected, rtol=0, atol=self.tolerance))
        return None if good else f"{answer.ravel()[:6]}, not {self.expected.ravel()[:6]}"


def tensors(module: ModuleType, inputs: dict[str, Array]) -> list[Any]:
    """Input tensors for one of the two client libraries."""
    return [
        module.InferInput(name, list(array.shape), TYPES[array.dtype.name]).set_data_from_numpy(array)
        for name, array in inputs.items()
    ]


def connect(server: Server, worker: int) -> tuple[ModuleType, Any]:
    """A client of its own for each worker; every other one speaks HTTP."""
    module = tritonclient.http if worker % 2 else tritonclient.grpc
    address = server.endpoints.http if worker % 2 else server.endpoints.grpc
    return module, module.InferenceServerClient(address)


def ask_all(server: Server, questions: Sequence[Question], clients: int = CLIENTS) -> list[Array | Exception]:
    """Send everything, `clients` requests at a time, half over gRPC and half over HTTP.

    Returns:
        The answers in the order of the questions; a refusal is the exception itself.
    """
    answers: list[Any] = [RuntimeError("never asked")] * len(questions)
    together = threading.Barrier(clients)

    def work(worker: int) -> None:
        module, client = connect(server, worker)
        with client:
            together.wait(timeout=30)
            for place in range(worker, len(questions), clients):
                one = questions[place]
                try:
                    given = client.infer(one.model, tensors(module, one.inputs))
                    answers[place] = given.as_numpy(one.output)
                except InferenceServerException as error:
                    answers[place] = error

    run_all(work, clients)
    return answers


def run_all(work: Any, clients: int) -> None:
    """Run `work(0)` to `work(clients - 1)` in threads; the first exception of any is raised."""
    failed: list[BaseException] = []

    def guarded(worker: int) -> None:
        try:
            work(worker)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(worker,), daemon=True) for worker in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    if failed:
        raise failed[0]
    assert not any(thread.is_alive() for thread in threads), "a client hangs"


def faults(questions: Sequence[Question], answers: Sequence[Array | Exception]) -> list[str]:
    """Every wrong answer in words; for the first ones also whose answer it is."""
    found: list[str] = []
    for place, (question, answer) in enumerate(zip(questions, answers, strict=True)):
        fault = question.fault(answer)
        if fault:
            owners = (
                [i for i, one in enumerate(questions) if one.fault(answer) is None] if len(found) < 5 else []
            )
            found.append(
                f"request {place}: {fault}" + (f" (it belongs to request {owners})" if owners else "")
            )
    return found


def statistics(server: Server, model: str) -> dict[str, int]:
    """Sums over a model's versions: `requests`, `executions`, `hits` (of the response cache)."""
    page = httpx.get(f"{server.endpoints.http_url}/v2/models/{model}/stats").raise_for_status().json()
    found = page["model_stats"]
    return {
        "requests": sum(v["inference_stats"]["success"]["count"] for v in found),
        "executions": sum(v["execution_count"] for v in found),
        "hits": sum(v["inference_stats"]["cache_hit"]["count"] for v in found),
    }
