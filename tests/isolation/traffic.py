"""Clients that never stop asking while models come and go, and what they may be told."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tritonclient.utils import InferenceServerException

from lab_utils.server.base import Server
from tests.backends.toy_models import affine, config
from tests.isolation.crowd import connect, tensors
from tests.server.conftest import add_model

# What a client may be told of a model that is just not there. Seen so far is only the first, NOT_FOUND over
# gRPC and 404 over HTTP; the others are what Triton says in rarer moments of the same change.
ALLOWED = (
    r"^(StatusCode\.NOT_FOUND|404): Request for unknown model: '\w+' has no available versions",
    r"^(StatusCode\.NOT_FOUND|404): Request for unknown model: '\w+' is not found",
    r"^(StatusCode\.UNAVAILABLE|503): .*'\w+',? .*is not (ready|at ready state)",
)
PYTHON = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.version = int(args["model_version"])

    def execute(self, requests):
        inputs = [pb_utils.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", 4 * x + self.version)]) for x in inputs]
"""


def add_versions(repository: Path, name: str, kind: str) -> None:
    """A model `y = 4 x + version` with the versions 1 and 2; `kind` is `onnx` or `python`.

    Whole numbers `x` below 2^21 come back exactly, and `y mod 4` says which version answered.
    """
    if kind == "python":
        add_model(repository, name, code=PYTHON)
        (repository / name / "2").mkdir()
        (repository / name / "2" / "model.py").write_text(PYTHON)
        return
    for version in (1, 2):
        affine(repository / name / str(version) / "model.onnx", 4, version, ["batch", 4])
    text = config(inputs=[("x", "FP32", (4,))], outputs=[("y", "FP32", (4,))])
    (repository / name / "config.pbtxt").write_text(text)


def place_version(repository: Path, name: str, present: bool) -> None:
    """Put version 2 into the repository or take it out, in one step: Triton never sees half a folder."""
    inside, outside = repository / name / "2", repository.parent / f"{name}-2"
    source, target = (outside, inside) if present else (inside, outside)
    if source.exists():
        source.rename(target)


class Traffic:
    """What the clients were told.

    Attributes:
        served: Right answers by (model, version).
        refused: Allowed refusals by their text.
        wrong: Everything else, in words.
    """

    def __init__(self, server: Server, models: Sequence[str], clients: int = 4) -> None:
        self.served: Counter[tuple[str, int]] = Counter()
        self.refused: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._server, self._models = server, models
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(i,), daemon=True) for i in range(clients)]

    def _ask(self, worker: int) -> None:
        try:
            random = np.random.default_rng(worker)
            module, client = connect(self._server, worker)
            with client:
                while not self._end.is_set():
                    model = self._models[int(random.integers(len(self._models)))]
                    rows = int(random.integers(1, 5))
                    x = random.integers(0, 2**21, (rows, 4)).astype(np.float32)
                    self._one(module, client, model, x)
        except Exception as error:
            self.wrong.append(f"client {worker} ended: {type(error).__name__}: {error}")

    def _one(self, module: object, client: object, model: str, x: np.ndarray) -> None:
        try:
            answer = client.infer(model, tensors(module, {"x": x}))  # type: ignore[attr-defined, arg-type]
        except InferenceServerException as error:
            text = f"{error.status()}: {error.message()}"
            with self._lock:
                if any(re.search(pattern, text) for pattern in ALLOWED):
                    self.refused[text] += 1
                else:
                    self.wrong.append(text)
            time.sleep(0.005)
            return
        y, said = answer.as_numpy("y"), answer.get_response()
        version = int(said["model_version"] if isinstance(said, dict) else said.model_version)
        with self._lock:
            # The server says which version answered: the numbers must be its own, and of this very request.
            if version in (1, 2) and y.shape == x.shape and np.array_equal(y, 4 * x + version):
                self.served[model, version] += 1
            else:
                self.wrong.append(f"{model} version {version}: {y.ravel()[:4]} for {x.ravel()[:4]}")

    @contextmanager
    def flowing(self) -> Iterator[Traffic]:
        """Clients ask from entry to exit."""
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._end.set()
            for thread in self._threads:
                thread.join(timeout=60)
        assert not any(thread.is_alive() for thread in self._threads), "a client hangs"
