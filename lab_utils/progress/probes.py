"""What a check asks the world: fresh digits, an independent answer, and Triton's own statistics."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from lab_utils import web
from lab_utils.errors import LabError
from lab_utils.server import keys


def http_get(address: str, path: str, timeout: float = 5.0) -> httpx.Response:
    """GET `path` from `host:port`, with its key if it has one, past any proxy that the environment names.

    Raises:
        httpx.HTTPError: Nothing answers there, or not in time.
    """
    headers = keys.headers_for(address)
    with httpx.Client(trust_env=False, timeout=timeout, headers=headers, verify=web.tls()) as client:
        return client.get(f"http://{address}{path}")


@dataclass(frozen=True)
class Statistics:
    """Three counters of one model, summed over its versions.

    Attributes:
        inference_count: Inferences done; a request of batch 8 counts 8.
        execution_count: Runs of the model; a dynamic batch of 8 requests counts 1.
        success_count: Requests answered without an error.
        fail_count: Requests answered with an error.
    """

    inference_count: int = 0
    execution_count: int = 0
    success_count: int = 0
    fail_count: int = 0


def read_statistics(address: str, model: str) -> Statistics:
    """One model's counters from `GET /v2/models/<model>/stats` of Triton's statistics extension.

    Raises:
        LabError: The server does not answer, or has no such model.
    """
    try:
        response = http_get(address, f"/v2/models/{model}/stats")
        response.raise_for_status()
        entries: list[Mapping[str, Any]] = response.json()["model_stats"]
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise LabError(
            f"the statistics of model {model!r} could not be read from {address}",
            why=str(error),
            fix="See that the server runs and that the model is ready.",
        ) from error
    total = {"inference_count": 0, "execution_count": 0, "success": 0, "fail": 0}
    for entry in entries:
        total["inference_count"] += int(entry.get("inference_count", 0))
        total["execution_count"] += int(entry.get("execution_count", 0))
        for kind in ("success", "fail"):
            total[kind] += int(entry.get("inference_stats", {}).get(kind, {}).get("count", 0))
    return Statistics(total["inference_count"], total["execution_count"], total["success"], total["fail"])


class Delta:
    """What a model did between the start and the end of a `with` block, by Triton's own count.

    The four numbers are zero inside the block and final after it.

    Attributes:
        inference_count: Inferences done.
        execution_count: Runs of the model.
        success_count: Requests answered well.
        fail_count: Requests answered with an error.
    """

    def __init__(self, address: str, model: str) -> None:
        self.inference_count = self.execution_count = self.success_count = self.fail_count = 0
        self._address = address
        self._model = model

    def __enter__(self) -> Delta:
        self._before = settled_statistics(self._address, self._model)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            return
        after = settled_statistics(self._address, self._model)
        for name in ("inference_count", "execution_count", "success_count", "fail_count"):
            setattr(self, name, getattr(after, name) - getattr(self._before, name))


def settled_statistics(address: str, model: str, quiet: float = 0.05, limit: float = 2.0) -> Statistics:
    """Counters that stood still for `quiet` seconds.

    A python-based backend reports its statistics after it has sent the response, so a client that
    asks at once may read the numbers of a moment ago.
    """
    end = time.monotonic() + limit
    seen = read_statistics(address, model)
    while time.monotonic() < end:
        time.sleep(quiet)
        again = read_statistics(address, model)
        if again == seen:
            break
        seen = again
    return seen


def latest_version(repository: Path, model: str) -> Path:
    """The folder of a model's highest numeric version in a model repository.

    Raises:
        LabError: The model has no version folder.
    """
    numbered = [p for p in (repository / model).glob("*") if p.is_dir() and p.name.isdigit()]
    if not numbered:
        raise LabError(
            f"model {model!r} has no version folder in {repository}",
            fix="Run the lab's start cell again: it copies the lab's models back.",
        )
    return max(numbered, key=lambda folder: int(folder.name))


def onnx_reference(model_file: Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """The answer of ONNX Runtime in this process: the independent judge of a served answer.

    Args:
        model_file: An ONNX file with one input and one output.
        images: float32, `[n, 1, 28, 28]`.

    Returns:
        Logits, float32 `[n, 10]`.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model_file.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    (logits,) = session.run(None, {session.get_inputs()[0].name: images})
    return np.asarray(logits, dtype=np.float32)


def perturbed(images: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """The same digits with a little noise and another brightness, kept within 0 and 1.

    A person reads the same digit and the model answers the same class, but the logits are new each
    time: an answer that was stored once cannot be handed in again.
    """
    noise = rng.normal(0.0, 0.01, images.shape)
    light = rng.uniform(0.92, 1.0, (len(images), 1, 1, 1))
    return np.clip(images * light + noise, 0.0, 1.0).astype(np.float32)
