"""Joining and splitting of requests: nobody sees another's data, and only the guilty one fails."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tritonclient.http
from onnx import TensorProto, helper
from tritonclient.utils import InferenceServerException

from tests.backends.conftest import Bench
from tests.backends.toy_models import affine, config, onnx_model, torchscript

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")

pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")]
# The batch leaves as soon as it has all the rows; the delay is long so that a busy machine is no fault.
MEET = "dynamic_batching { max_queue_delay_microseconds: 5000000 preferred_batch_size: [ %d ] }"


class Affine(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x + 1


class Lookup(torch.nn.Module):
    """Fails for the whole batch when one index is out of range."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.arange(10) * 100)

    def forward(self, i: torch.Tensor) -> torch.Tensor:
        return torch.index_select(self.table, 0, i.flatten()).reshape(i.shape)


def lookup(path: Path) -> None:
    """ONNX form of `Lookup`."""
    table = helper.make_tensor("table", TensorProto.INT64, [10], [i * 100 for i in range(10)])
    node = helper.make_node("Gather", ["table", "i"], ["y"])
    onnx_model(path, [("i", "INT64", ["n", 2])], [("y", "INT64", ["n", 2])], [node], [table])


def together(bench: Bench, model: str, name: str, kind: str, batches: list[np.ndarray]) -> list[object]:
    """Send all batches at the same moment; an answer is the output `y` or the exception."""

    def ask(batch: np.ndarray) -> object:
        try:  # gRPC: the HTTP client must not be shared between threads
            return bench.infer(model, {name: (kind, batch)}, protocol="grpc")["y"]
        except InferenceServerException as error:
            return error

    with ThreadPoolExecutor(len(batches)) as pool:
        return list(pool.map(ask, batches))


def counted(bench: Bench, name: str, before: SimpleNamespace, inferences: int) -> SimpleNamespace:
    """The counters, once they hold so many more inferences and an execution.

    An answer is out a moment before Triton has counted it. Two seconds later they are read as they are.
    """
    deadline = time.monotonic() + 2
    while True:
        after = bench.statistics(name)
        whole = after.inferences - before.inferences >= inferences and after.executions > before.executions
        if whole or time.monotonic() > deadline:
            return after
        time.sleep(0.02)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_requests_meet_in_one_run_and_get_their_own_rows(bench: Bench, backend: str) -> None:
    name = f"{backend}_meet"
    platform = {"onnx": "onnxruntime_onnx", "torch": "pytorch_libtorch"}[backend]

    def build(v: Path) -> None:
        if backend == "onnx":
            affine(v / "model.onnx", 2.0, 1.0, ("n", "k"))
        else:
            torchscript(v / "model.pt", Affine())

    text = config(
        platform=platform,
        max_batch_size=64,
        inputs=[("x", "FP32", (-1,))],
        outputs=[("y", "FP32", (-1,))],
        extra=MEET % 36,
    )
    bench.add(name, build, text)
    bench.load(name)
    before = bench.statistics(name)
    batches = [
        np.full((rows, 5), 100.0 * rows, np.float32) + np.arange(5, dtype=np.float32) for rows in range(1, 9)
    ]
    answers = together(bench, name, "x", "FP32", batches)
    for batch, answer in zip(batches, answers, strict=True):
        assert isinstance(answer, np.ndarray), answer
        np.testing.assert_array_equal(answer, 2 * batch + 1)
    after = counted(bench, name, before, inferences=36)
    assert after.inferences - before.inferences == 36
    assert after.executions - before.executions == 1


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_only_the_guilty_request_fails(bench: Bench, backend: str) -> None:
    name = f"{backend}_guilty"
    platform = {"onnx": "onnxruntime_onnx", "torch": "pytorch_libtorch"}[backend]

    def build(v: Path) -> None:
        if backend == "onnx":
            lookup(v / "model.onnx")
        else:
            torchscript(v / "model.pt", Lookup())

    text = config(
        platform=platform,
        inputs=[("i", "INT64", (2,))],
        outputs=[("y", "INT64", (2,))],
        extra=MEET % 4,
    )
    bench.add(name, build, text)
    bench.load(name)
    before = bench.statistics(name)
    batches = [np.array([[n, n + 1]], np.int64) for n in (1, 3, 5)] + [np.array([[2, 99]], np.int64)]
    *good, bad = together(bench, name, "i", "INT64", batches)
    for batch, answer in zip(batches, good, strict=False):
        assert isinstance(answer, np.ndarray), answer
        np.testing.assert_array_equal(answer, batch * 100)
    assert isinstance(bad, InferenceServerException)
    message = str(bad)
    if backend == "onnx":
        assert "onnx runtime error 2:" in message
        assert "idx=99 must be within" in message
    else:
        assert "PyTorch execute failure:" in message
        assert "out of range" in message
    ran = counted(bench, name, before, inferences=len(good))
    assert ran.executions - before.executions == 1, "the four requests did not meet"


def test_many_clients_never_see_anothers_rows(bench: Bench) -> None:
    """Random row counts and two widths at once: shapes differ within one execute() call."""
    text = config(
        max_batch_size=32,
        inputs=[("x", "FP32", (-1,))],
        outputs=[("y", "FP32", (-1,))],
        extra="dynamic_batching { max_queue_delay_microseconds: 2000 }",
        count=2,
    )
    bench.add("onnx_crowd", lambda v: affine(v / "model.onnx", 3.0, 0.0, ("n", "k")), text)
    bench.load("onnx_crowd")
    rng = np.random.default_rng(11)
    batches = [
        rng.normal(size=(rng.integers(1, 5), rng.choice([3, 7]))).astype(np.float32) for _ in range(16)
    ]
    for _ in range(15):
        for batch, answer in zip(batches, together(bench, "onnx_crowd", "x", "FP32", batches), strict=True):
            assert isinstance(answer, np.ndarray), answer
            np.testing.assert_array_equal(answer, batch * np.float32(3))
    stats = bench.statistics("onnx_crowd")
    assert stats.executions < stats.inferences, "nothing was ever batched"


def test_sequence_controls_reach_the_model(bench: Bench) -> None:
    """The sequence batcher's START input is fed to the model like any other input."""
    node = helper.make_node("Add", ["x", "START"], ["y"])
    text = config(inputs=[("x", "FP32", (1,))], outputs=[("y", "FP32", (1,))])
    text += """sequence_batching { control_input [ { name: "START" control [ {
        kind: CONTROL_SEQUENCE_START fp32_false_true: [0, 100] } ] } ] }\n"""
    bench.add(
        "onnx_sequence",
        lambda v: onnx_model(
            v / "model.onnx",
            [("x", "FP32", ["n", 1]), ("START", "FP32", ["n", 1])],
            [("y", "FP32", ["n", 1])],
            [node],
        ),
        text,
    )
    bench.load("onnx_sequence")
    got = []
    for step in range(3):
        tensor = tritonclient.http.InferInput("x", [1, 1], "FP32")
        tensor.set_data_from_numpy(np.array([[step]], np.float32))
        answer = bench.http.infer(
            "onnx_sequence", [tensor], sequence_id=5, sequence_start=step == 0, sequence_end=step == 2
        )
        got.append(float(answer.as_numpy("y")[0, 0]))
    assert got == [100, 1, 2]


def test_a_decoupled_policy_still_gets_one_answer(bench: Bench) -> None:
    """The C++ backends serve such a config too: one answer, then the end of the stream."""
    text = config(extra="model_transaction_policy { decoupled: true }")
    bench.add("onnx_decoupled", lambda v: affine(v / "model.onnx", 2.0), text)
    bench.load("onnx_decoupled")
    import queue

    import tritonclient.grpc

    answers: queue.Queue[tuple[object, object]] = queue.Queue()
    client = tritonclient.grpc.InferenceServerClient(bench.server.endpoints.grpc)
    client.start_stream(lambda result, error: answers.put((result, error)))
    tensor = tritonclient.grpc.InferInput("x", [1, 3], "FP32")
    tensor.set_data_from_numpy(np.ones((1, 3), np.float32))
    client.async_stream_infer("onnx_decoupled", [tensor])
    result, error = answers.get(timeout=10)
    client.stop_stream()
    client.close()
    assert error is None
    np.testing.assert_array_equal(result.as_numpy("y"), np.full((1, 3), 2, np.float32))
