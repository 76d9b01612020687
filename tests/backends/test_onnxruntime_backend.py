"""The onnxruntime backend: data types, shapes, auto-complete, versions, equality with the library."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from tests.backends.conftest import Bench
from tests.backends.toy_models import TYPES, affine, config, identities, linear, onnx_model, parameter, sample

pytestmark = pytest.mark.live
EMPTY = "max_batch_size: 0\n"


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal bit for bit (NaN included), with equal shape and type."""
    if a.dtype == np.object_:
        return a.shape == b.shape and a.tolist() == b.tolist()
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


# ONNX Runtime's Python interface cannot feed text and read BF16 in one run: two models.
TYPES_OF = {"onnx_types": [t for t in TYPES if t != "BF16"], "onnx_bf16": ["BF16", "FP32", "INT64"]}


@pytest.fixture(scope="module", autouse=True)
def every_type(bench: Bench) -> str:
    for name, types in TYPES_OF.items():
        bench.add(
            name,
            lambda v, types=types: identities(v / "model.onnx", types, ["batch", 3]),
            config(
                inputs=[(f"in_{t}", t, (3,)) for t in types], outputs=[(f"out_{t}", t, (3,)) for t in types]
            ),
        )
        bench.load(name)
    return "onnx_types"


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("model", TYPES_OF)
def test_every_data_type_comes_back_unchanged(bench: Bench, model: str, protocol: str, rows: int) -> None:
    rng = np.random.default_rng(rows)
    data = {t: sample(t, (rows, 3), rng) for t in TYPES_OF[model]}
    answer = bench.infer(model, {f"in_{t}": (t, v) for t, v in data.items()}, protocol=protocol)
    assert set(answer) == {f"out_{t}" for t in data}
    for kind, value in data.items():
        assert same(answer[f"out_{kind}"], value), f"{kind}: {answer[f'out_{kind}']!r} is not {value!r}"


def test_only_the_requested_outputs_are_sent(bench: Bench, every_type: str) -> None:
    rng = np.random.default_rng(0)
    data = {f"in_{t}": (t, sample(t, (2, 3), rng)) for t in TYPES_OF[every_type]}
    answer = bench.infer(every_type, data, outputs=["out_INT8", "out_BYTES"])
    assert set(answer) == {"out_INT8", "out_BYTES"}
    assert same(answer["out_INT8"], data["in_INT8"][1])


def test_bytes_that_are_not_text_are_named(bench: Bench, every_type: str) -> None:
    rng = np.random.default_rng(0)
    data = {f"in_{t}": (t, sample(t, (1, 3), rng)) for t in TYPES_OF[every_type]}
    data["in_BYTES"] = ("BYTES", np.array([[b"ok", b"\xff\xfe", b"ok"]], dtype=np.object_))
    with pytest.raises(Exception, match=r"input 'in_BYTES', element 1 is not UTF-8"):
        bench.infer(every_type, data)


def test_variable_dims_and_no_batching(bench: Bench) -> None:
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("Neg", ["x"], ["y"]),
    ]
    bench.add(
        "onnx_free",
        lambda v: onnx_model(
            v / "model.onnx",
            [("x", "FP32", ["h", "w"])],
            [("y", "FP32", ["h", "w"]), ("total", "FP32", [])],
            nodes,
        ),
        config(
            max_batch_size=0,
            inputs=[("x", "FP32", (-1, -1))],
            outputs=[("y", "FP32", (-1, -1)), ("total", "FP32", (1,))],
        ),
    )
    bench.load("onnx_free")
    for shape in [(1, 1), (2, 7), (5, 3), (0, 4)]:
        x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        answer = bench.infer("onnx_free", {"x": ("FP32", x)})
        assert same(answer["y"], -x)
        assert same(answer["total"], x.sum().reshape(1))


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_the_answer_is_the_librarys_bit_for_bit(bench: Bench, rows: int) -> None:
    if not (bench.repository / "onnx_linear").exists():
        bench.add(
            "onnx_linear",
            lambda v: linear(v / "model.onnx"),
            config(inputs=[("x", "FP32", (64,))], outputs=[("y", "FP32", (10,))]),
        )
        bench.load("onnx_linear")
    session = ort.InferenceSession(
        str(bench.repository / "onnx_linear/1/model.onnx"), providers=["CPUExecutionProvider"]
    )
    x = np.random.default_rng(rows).normal(size=(rows, 64)).astype(np.float32)
    for protocol in ("http", "grpc"):
        answer = bench.infer("onnx_linear", {"x": ("FP32", x)}, protocol=protocol)["y"]
        assert same(answer, session.run(["y"], {"x": x})[0])


def test_no_config_at_all(bench: Bench) -> None:
    bench.add("onnx_bare", lambda v: affine(v / "model.onnx", 2.0, dims=("n", 4, "k")), None)
    bench.load("onnx_bare")
    found = bench.http.get_model_config("onnx_bare")
    assert found["max_batch_size"] == 4  # Triton's own default for auto-complete
    assert found["input"][0] | {"name": "x", "data_type": "TYPE_FP32", "dims": [4, -1]} == found["input"][0]
    assert found["output"][0]["dims"] == [4, -1]
    assert "dynamic_batching" in found
    x = np.ones((3, 4, 2), np.float32)
    assert same(bench.infer("onnx_bare", {"x": ("FP32", x)})["y"], 2 * x)


def test_no_config_for_a_model_that_cannot_batch(bench: Bench) -> None:
    bench.add("onnx_fixed", lambda v: affine(v / "model.onnx", 2.0, dims=(2, "k")), None)
    bench.load("onnx_fixed")
    found = bench.http.get_model_config("onnx_fixed")
    assert found["max_batch_size"] == 0
    assert found["input"][0]["dims"] == [2, -1]
    assert "dynamic_batching" not in found


def test_no_config_for_a_tensor_of_the_batch_alone(bench: Bench) -> None:
    bench.add("onnx_flat", lambda v: affine(v / "model.onnx", 3.0, dims=("n",)), None)
    bench.load("onnx_flat")
    x = np.array([[1.0], [2.0]], np.float32)  # dims [1], reshaped to [] for the model
    assert same(bench.infer("onnx_flat", {"x": ("FP32", x)})["y"], 3 * x)


def test_a_config_that_names_only_the_batch_size(bench: Bench) -> None:
    bench.add(
        "onnx_half", lambda v: affine(v / "model.onnx", 2.0), 'backend: "onnxruntime"\nmax_batch_size: 16\n'
    )
    bench.load("onnx_half")
    found = bench.http.get_model_config("onnx_half")
    assert found["max_batch_size"] == 16
    assert found["input"][0]["dims"] == [3]


def test_versions_and_another_file_name(bench: Bench) -> None:
    text = config(extra='version_policy { all {} }\ndefault_model_filename: "net.onnx"')
    bench.add("onnx_versions", lambda v: affine(v / "net.onnx", 1.0), text)
    bench.add("onnx_versions", lambda v: affine(v / "net.onnx", 10.0), None, version="3")
    bench.load("onnx_versions")
    x = np.ones((1, 3), np.float32)
    for version, scale in (("1", 1), ("3", 10), ("", 10)):
        assert same(bench.infer("onnx_versions", {"x": ("FP32", x)}, version=version)["y"], scale * x)


def test_warmup_runs_and_counts(bench: Bench) -> None:
    warm = 'model_warmup [ { name: "one" batch_size: 4 count: 3 inputs { key: "x" value { '
    warm += "data_type: TYPE_FP32 dims: [3] random_data: true } } } ]"
    bench.add("onnx_warm", lambda v: affine(v / "model.onnx", 1.0), config(extra=warm))
    bench.load("onnx_warm")
    assert bench.statistics("onnx_warm").executions == 3


def test_an_optional_input_takes_its_default(bench: Bench) -> None:
    def build(v):  # type: ignore[no-untyped-def]
        scale = helper.make_tensor("scale", TensorProto.FLOAT, [1], [5.0])
        onnx_model(
            v / "model.onnx",
            [("x", "FP32", [2]), ("scale", "FP32", [1])],
            [("y", "FP32", [2])],
            [helper.make_node("Mul", ["x", "scale"], ["y"])],
            [scale],
        )

    text = config(max_batch_size=0, inputs=[("x", "FP32", (2,))], outputs=[("y", "FP32", (2,))])
    text += 'input [ { name: "scale" data_type: TYPE_FP32 dims: [1] optional: true } ]\n'
    bench.add("onnx_optional", build, text)
    bench.load("onnx_optional")
    x = np.array([1, 2], np.float32)
    assert same(bench.infer("onnx_optional", {"x": ("FP32", x)})["y"], 5 * x)
    given = {"x": ("FP32", x), "scale": ("FP32", np.array([2], np.float32))}
    assert same(bench.infer("onnx_optional", given)["y"], 2 * x)


def test_the_real_backends_parameters_are_taken(bench: Bench) -> None:
    lines = [
        parameter("intra_op_thread_count", "1"),
        parameter("inter_op_thread_count", "1"),
        parameter("execution_mode", "1"),
        parameter("enable_mem_arena", "false"),
        parameter("enable_mem_pattern", "0"),
        parameter("memory.enable_memory_arena_shrinkage", ""),
        parameter("session.use_device_allocator_for_initializers", "1"),
        parameter("share_session_between_instances", "true"),
        parameter("gpu_mem_limit", "1000000"),
        "optimization { graph { level: 2 } }",
    ]
    bench.add("onnx_tuned", lambda v: affine(v / "model.onnx", 4.0), config(extra="\n".join(lines)))
    bench.load("onnx_tuned")
    x = np.ones((2, 3), np.float32)
    assert same(bench.infer("onnx_tuned", {"x": ("FP32", x)})["y"], 4 * x)
    assert "onnx_tuned: gpu_mem_limit have no effect on KIND_CPU" in bench.server.logs()
