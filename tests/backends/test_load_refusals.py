"""What must not load does not, and the message names both sides."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from tests.backends.conftest import Bench
from tests.backends.toy_models import affine, config, onnx_model, parameter, torchscript

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")

pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")]


class Plus(torch.nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a + b


def onnx(**changes: Any) -> tuple[Callable[[Path], Any], str]:
    """The affine model (x [batch,3] -> y [batch,3]) with a config that differs in one thing."""
    return lambda v: affine(v / "model.onnx", 2.0), config(**changes)


def libtorch(**changes: Any) -> tuple[Callable[[Path], Any], str]:
    """The sum of two tensors with a config that differs in one thing."""
    settings: dict[str, Any] = {"inputs": [("a", "FP32", (3,)), ("b", "FP32", (3,))]} | changes
    return lambda v: torchscript(v / "model.pt", Plus()), config(platform="pytorch_libtorch", **settings)


def content(name: str, data: bytes, **settings: Any) -> tuple[Callable[[Path], Any], str]:
    """Any bytes under the name of a model file."""
    return lambda v: (v / name).write_bytes(data), config(**settings)


def state_dict(path: Path) -> None:
    torch.save({"w": torch.ones(2)}, path / "model.pt")


def text_and_bfloat16(v: Path) -> None:
    onnx_model(
        v / "model.onnx",
        [("s", "BYTES", ["n", 1]), ("x", "FP32", ["n", 1])],
        [("y", "BF16", ["n", 1]), ("t", "BYTES", ["n", 1])],
        [
            helper.make_node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16),
            helper.make_node("Identity", ["s"], ["t"]),
        ],
    )


ACCELERATE = 'optimization { execution_accelerators { %s : [ { name: "%s" } ] } }'
TORCH = {"platform": "pytorch_libtorch"}
CASES: dict[str, tuple[tuple[Callable[[Path], Any], str | None], list[str]]] = {
    # the config and the model disagree
    "wrong_input": (
        onnx(inputs=[("X", "FP32", (3,))]),
        ["unexpected inference input 'X'", "allowed inputs are: x"],
    ),
    "wrong_output": (
        onnx(outputs=[("yy", "FP32", (3,))]),
        ["unexpected inference output 'yy'", "allowed outputs are: y", "did you mean 'y'?"],
    ),
    "wrong_dtype": (
        onnx(outputs=[("y", "FP64", (3,))]),
        ["configuration expects datatype TYPE_FP64 for output 'y', model provides TYPE_FP32"],
    ),
    "wrong_rank": (
        onnx(inputs=[("x", "FP32", (3, 1))]),
        ["the model expects 2 dimensions (shape [-1,3])", "making complete shape [-1,3,1]"],
    ),
    "wrong_dim": (
        onnx(outputs=[("y", "FP32", (4,))]),
        ["tensor 'y'", "(shape [-1,3])", "making complete shape [-1,4]"],
    ),
    "wrong_count": (
        onnx(inputs=[("x", "FP32", (3,)), ("z", "FP32", (3,))]),
        ["configuration expects 2 inputs, model provides 1"],
    ),
    "no_batch_dim": (
        (lambda v: affine(v / "model.onnx", 1.0, dims=(2, 3)), config()),
        ["for the model to support batching", "first dimension must be -1", "[2,3]"],
    ),
    "torch_count": (
        libtorch(inputs=[("a", "FP32", (3,))]),
        ["configuration expects 1 inputs, model provides 2", "forward(): a, b"],
    ),
    "torch_gap": (
        libtorch(inputs=[("in__0", "FP32", (3,)), ("in__2", "FP32", (3,))]),
        ["in__0", "in__2", "do not cover the 2 arguments of forward(): a, b"],
    ),
    "torch_string": (
        libtorch(inputs=[("a", "BYTES", (3,)), ("b", "FP32", (3,))]),
        ["only supports 1 dimensional List of String as input for 'a'"],
    ),
    # parameters by name
    "unknown": (
        onnx(extra=parameter("intra_op_num_threads", "2")),
        ["no parameter 'intra_op_num_threads'", "did you mean 'intra_op_thread_count'?"],
    ),
    "other_case": (
        libtorch(extra=parameter("intra_op_thread_count", "2")),
        ["no parameter 'intra_op_thread_count'", "did you mean 'INTRA_OP_THREAD_COUNT'?"],
    ),
    "no_number": (
        onnx(extra=parameter("inter_op_thread_count", "two")),
        ["'inter_op_thread_count'", "'two'"],
    ),
    "no_mode": (
        onnx(extra=parameter("execution_mode", "2")),
        ["'execution_mode' must be one of [0, 1], not '2'"],
    ),
    "no_switch": (
        onnx(extra=parameter("enable_mem_arena", "yes")),
        ["'enable_mem_arena' must be true, false"],
    ),
    "shared": (
        onnx(extra=parameter("share_session_between_instances", "true"), count=2),
        ["'share_session_between_instances' needs the C++ backend", "each of the 2 instances"],
    ),
    "weights": (
        libtorch(extra=parameter("ENABLE_WEIGHT_SHARING", "true"), count=2),
        ["'ENABLE_WEIGHT_SHARING' needs the C++ backend"],
    ),
    "nvfuser": (libtorch(extra=parameter("ENABLE_NVFUSER", "true")), ["'ENABLE_NVFUSER' cannot be true"]),
    "compiled": (
        libtorch(extra=parameter("TORCH_COMPILE_OPTIONAL_PARAMETERS", "{}")),
        ["'TORCH_COMPILE_OPTIONAL_PARAMETERS' belongs to the pytorch backend's Python runtime"],
    ),
    # fields that this form of the backend does not have
    "tensorrt": (
        onnx(extra=ACCELERATE % ("gpu_execution_accelerator", "tensorrt")),
        ["gpu_execution_accelerator 'tensorrt' is requested for an instance of kind KIND_CPU"],
    ),
    "openvino": (
        onnx(extra=ACCELERATE % ("cpu_execution_accelerator", "openvino")),
        ["cpu_execution_accelerator 'openvino' needs ONNX Runtime's OpenVINOExecutionProvider"],
    ),
    "ragged": (
        (
            lambda v: affine(v / "model.onnx", 1.0, dims=("n",)),
            config(
                inputs=[],
                outputs=[("y", "FP32", ())],
                extra='input [ { name: "x" data_type: TYPE_FP32 dims: [-1] allow_ragged_batch: true } ]',
            ),
        ),
        ["'allow_ragged_batch' of input 'x' is not available in this Python form"],
    ),
    "state": (
        onnx(
            inputs=[],
            extra='sequence_batching { state [ { input_name: "x" output_name: "y" '
            "data_type: TYPE_FP32 dims: [3] } ] }",
        ),
        ["'sequence_batching.state' (implicit state) is not available"],
    ),
    "batch_input": (
        onnx(
            extra='batch_input [ { kind: BATCH_ELEMENT_COUNT target_name: "n" '
            'data_type: TYPE_FP32 source_input: "x" } ]'
        ),
        ["'batch_input' is not available in this Python form"],
    ),
    "text_bf16": (
        (text_and_bfloat16, "max_batch_size: 4\n"),
        ["TYPE_STRING input and a TYPE_BF16 output"],
    ),
    # files
    "not_onnx": (
        content("model.onnx", b"this is not a model at all"),
        ["it is not an ONNX file, or damaged"],
    ),
    "empty": (content("model.onnx", b""), ["'", "it is empty"]),
    "lfs": (
        content("model.onnx", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n"),
        ["Git LFS pointer", "git lfs pull"],
    ),
    "page": (content("model.onnx", b"<!DOCTYPE html><html>"), ["it is a web page"]),
    "renamed": (
        (lambda v: (torchscript(v / "m.pt", Plus()).rename(v / "model.onnx"), None), config()),
        ["it looks like a PyTorch file"],
    ),
    "missing": (content("net.onnx", b"x"), ["unable to find", "model.onnx", "the folder holds: net.onnx"]),
    "state_dict": ((state_dict, config(**TORCH)), ["it was made by torch.save", "torch.jit.script"]),
    "pickle": (
        content("model.pt", pickle.dumps({"a": 1}), **TORCH),
        ["it is a Python pickle", "never opened"],
    ),
    "is_onnx": (
        (lambda v: affine(v / "m", 1.0).rename(v / "model.pt"), config(**TORCH)),
        ["it looks like an ONNX file"],
    ),
    "no_archive": (content("model.pt", b"hello", **TORCH), ["it is not a TorchScript archive"]),
    "torch_bare": (
        (lambda v: torchscript(v / "model.pt", Plus()), 'backend: "pytorch"\nmax_batch_size: 4\n'),
        ["names no input and no output", "cannot auto-complete"],
    ),
}


@pytest.fixture(scope="module")
def messages(bench: Bench) -> dict[str, str]:
    """Triton's answer to the load of each case. All are sent at once: a load is mostly waiting."""
    for case, ((build, text), _) in CASES.items():
        bench.add(f"refused_{case}", build, text)
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(CASES, pool.map(lambda case: bench.refusal(f"refused_{case}"), CASES), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_refused_with_both_sides_named(messages: dict[str, str], case: str) -> None:
    for part in CASES[case][1]:
        assert part in messages[case], messages[case]


def test_a_gpu_that_is_not_there_is_refused_by_triton_or_by_us(bench: Bench) -> None:
    bench.add(
        "refused_gpu",
        lambda v: affine(v / "model.onnx", 1.0),
        config().replace("KIND_CPU count: 1", "KIND_GPU gpus: [0]"),
    )
    if torch.cuda.is_available():
        pytest.skip("SKIP: this machine has a GPU")
    assert "GPU" in bench.refusal("refused_gpu")
