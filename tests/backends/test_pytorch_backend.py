"""The pytorch backend: data types, the three naming rules, strings, equality with the library."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

from tests.backends.conftest import Bench
from tests.backends.test_onnxruntime_backend import same
from tests.backends.toy_models import TYPES, config, parameter, sample, torchscript

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")

pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")]
LIBTORCH = "pytorch_libtorch"
NUMBERS = [t for t in TYPES if t != "BYTES"]


class Everything(torch.nn.Module):
    """Every numeric Triton type, in and out, plus a list of strings."""

    def forward(
        self,
        t0: torch.Tensor,
        t1: torch.Tensor,
        t2: torch.Tensor,
        t3: torch.Tensor,
        t4: torch.Tensor,
        t5: torch.Tensor,
        t6: torch.Tensor,
        t7: torch.Tensor,
        t8: torch.Tensor,
        t9: torch.Tensor,
        t10: torch.Tensor,
        t11: torch.Tensor,
        t12: torch.Tensor,
        words: list[str],
    ):  # type: ignore[no-untyped-def]
        return t0, t1, t2, t3, t4, t5, t6, t7, t8, t9, t10, t11, t12, words


class Pair(torch.nn.Module):
    """Not symmetric, so a swapped argument shows; the two outputs differ too."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return a - 2 * b, a * b


class Linear(torch.nn.Module):
    """A fixed random matrix product."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(64, 10)
        with torch.no_grad():
            self.layer.weight.copy_(torch.randn(10, 64, generator=torch.Generator().manual_seed(3)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.layer(x), dim=-1)


class Mapping(torch.nn.Module):
    """One argument that is a dictionary."""

    def forward(self, x: dict[str, torch.Tensor]) -> torch.Tensor:
        return x["left"] - x["right"]


@pytest.fixture(scope="module", autouse=True)
def everything(bench: Bench) -> str:
    arguments = list(inspect.signature(Everything.forward).parameters)[1:]
    inputs = [(n, t, (3,)) for n, t in zip(arguments, NUMBERS, strict=False)] + [("words", "BYTES", ())]
    outputs = [(f"out__{i}", t, (3,)) for i, t in enumerate(NUMBERS)] + [
        (f"out__{len(NUMBERS)}", "BYTES", ())
    ]
    bench.add(
        "torch_types",
        lambda v: torchscript(v / "model.pt", Everything()),
        config(platform=LIBTORCH, inputs=inputs, outputs=outputs),
    )
    bench.load("torch_types")
    return "torch_types"


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("rows", [1, 5])
def test_every_data_type_comes_back_unchanged(
    bench: Bench, everything: str, protocol: str, rows: int
) -> None:
    rng = np.random.default_rng(rows)
    data = [sample(t, (rows, 3), rng) for t in NUMBERS]
    sent = {f"t{i}": (t, v) for i, (t, v) in enumerate(zip(NUMBERS, data, strict=True))}
    words = sample("BYTES", (rows, 1), rng)
    answer = bench.infer(everything, sent | {"words": ("BYTES", words)}, protocol=protocol)
    for i, value in enumerate(data):
        assert same(answer[f"out__{i}"], value), f"{NUMBERS[i]}: {answer[f'out__{i}']!r} is not {value!r}"
    assert same(answer[f"out__{len(NUMBERS)}"], words)


def test_only_the_requested_outputs_are_sent(bench: Bench, everything: str) -> None:
    rng = np.random.default_rng(0)
    sent = {f"t{i}": (t, sample(t, (2, 3), rng)) for i, t in enumerate(NUMBERS)}
    sent["words"] = ("BYTES", sample("BYTES", (2, 1), rng))
    answer = bench.infer(everything, sent, outputs=["out__3"])
    assert set(answer) == {"out__3"}
    assert same(answer["out__3"], sent["t3"][1])
    sent["words"] = ("BYTES", np.array([[b"\xff"], [b"ok"]], dtype=np.object_))
    with pytest.raises(Exception, match="input 'words' is not UTF-8"):
        bench.infer(everything, sent)


RULES = {
    # by argument name: the order in the config does not matter
    "torch_named": (["b", "a"], ["y__1", "y__0"], ("a", "b", "y__0", "y__1")),
    # by index: neither does it here
    "torch_indexed": (["in__1", "in__0"], ["first", "second"], ("in__0", "in__1", "first", "second")),
    # by order of the config, for a name that is neither
    "torch_ordered": (["one", "b"], ["y__1", "z"], ("one", "b", "y__1", "z")),
}


@pytest.mark.parametrize("name", RULES)
def test_naming_rules(bench: Bench, name: str) -> None:
    inputs, outputs, (a, b, first, second) = RULES[name]
    bench.add(
        name,
        lambda v: torchscript(v / "model.pt", Pair()),
        config(
            platform=LIBTORCH,
            inputs=[(n, "FP32", (-1,)) for n in inputs],
            outputs=[(n, "FP32", (-1,)) for n in outputs],
        ),
    )
    bench.load(name)
    left, right = np.array([[1, 2]], np.float32), np.array([[10, 30]], np.float32)
    answer = bench.infer(name, {a: ("FP32", left), b: ("FP32", right)})
    assert same(answer[first], left - 2 * right)
    assert same(answer[second], left * right)


def test_a_dictionary_of_tensors_and_no_batching(bench: Bench) -> None:
    bench.add(
        "torch_mapping",
        lambda v: torchscript(v / "net.pt", Mapping()),
        config(
            platform="",
            max_batch_size=0,
            inputs=[("right", "INT32", (-1, -1)), ("left", "INT32", (-1, -1))],
            outputs=[("y", "INT32", (-1, -1))],
            extra='backend: "pytorch"\ndefault_model_filename: "net.pt"',
        ),
    )
    bench.load("torch_mapping")
    for shape in [(1, 1), (4, 3)]:
        left, right = np.full(shape, 7, np.int32), np.ones(shape, np.int32)
        assert same(
            bench.infer("torch_mapping", {"left": ("INT32", left), "right": ("INT32", right)})["y"],
            left - right,
        )


def own_answers(module: torch.jit.ScriptModule, x: np.ndarray) -> list[np.ndarray]:
    """PyTorch's own answers in this process, one for each place that `x` may have within a cache line.

    On some processors the matrix product's last bit depends on it, and a request's tensor may begin
    at any byte.
    """
    answers = []
    for offset in range(64):
        room = np.zeros(x.nbytes + 128, np.uint8)
        start = -room.ctypes.data % 64 + offset
        moved = room[start : start + x.nbytes].view(x.dtype).reshape(x.shape)
        moved[:] = x
        with torch.inference_mode():
            answers.append(module(torch.from_numpy(moved)).numpy())
    return answers


def test_the_answer_is_the_librarys_bit_for_bit_with_every_parameter(bench: Bench) -> None:
    lines = [
        parameter("DISABLE_OPTIMIZED_EXECUTION", "true"),
        parameter("INFERENCE_MODE", "true"),
        parameter("DISABLE_CUDNN", "false"),
        parameter("ENABLE_CACHE_CLEANING", "true"),
        parameter("ENABLE_WEIGHT_SHARING", "true"),
        parameter("ENABLE_TENSOR_FUSER", "false"),
        parameter("ENABLE_JIT_PROFILING", "false"),
        parameter("ENABLE_JIT_EXECUTOR", "true"),
        parameter("ENABLE_NVFUSER", "false"),
        parameter("INTRA_OP_THREAD_COUNT", "1"),
        parameter("INTER_OP_THREAD_COUNT", "1"),
    ]
    text = {"torch_linear": "", "torch_tuned": "\n".join(lines)}
    path = Path()
    for name, extra in text.items():
        bench.add(
            name,
            lambda v: torchscript(v / "model.pt", Linear()),
            config(
                platform=LIBTORCH, inputs=[("x", "FP32", (64,))], outputs=[("y", "FP32", (10,))], extra=extra
            ),
        )
        bench.load(name)
        path = bench.repository / name / "1/model.pt"
        module = torch.jit.load(str(path))
        for rows in (1, 3, 8):
            x = np.random.default_rng(rows).normal(size=(rows, 64)).astype(np.float32)
            expected = own_answers(module, x)
            for protocol in ("http", "grpc"):
                answer = bench.infer(name, {"x": ("FP32", x)}, protocol=protocol)["y"]
                assert any(same(answer, one) for one in expected)
