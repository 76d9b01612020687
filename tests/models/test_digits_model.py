"""The digit model: real data, good enough, the same bits each time, the same answers everywhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from rich.console import Console

from lab_utils.errors import LabError
from lab_utils.models import build, digits, mlp
from lab_utils.paths import project_root


@pytest.fixture(scope="module")
def network() -> mlp.Mlp:
    return mlp.train()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRITON_LAB_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_digits_are_the_bundled_ones_scaled() -> None:
    from sklearn.datasets import load_digits as bundled

    images, labels = digits.load_digits()
    assert (images.shape, images.dtype, labels.dtype) == ((1797, 1, 28, 28), np.float32, np.int64)
    assert images.min() == 0
    assert images.max() == 1
    assert labels.tolist() == bundled().target.tolist()
    # Scaled, not redrawn: read at the old pixels' centres it is nearly the original.
    centres = ((np.arange(8) + 0.5) * 3.5).astype(int)
    small = images[:, 0][:, centres][:, :, centres]
    correlation = np.corrcoef(small.ravel(), bundled().images.ravel())[0, 1]
    assert correlation > 0.98
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_split_is_fixed_and_disjoint() -> None:
    split = digits.split_digits()
    assert (len(split.train_images), len(split.test_images)) == (1347, 450)
    assert np.array_equal(split.test_images[1], digits.load_digits()[0][4])
    assert set(split.test_labels.tolist()) == set(range(10))
    train = {image.tobytes() for image in split.train_images}
    assert not any(image.tobytes() in train for image in split.test_images)


def test_accuracy_and_three_runtimes_agree(network: mlp.Mlp) -> None:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    split = digits.split_digits()
    session = onnxruntime.InferenceSession(mlp.to_onnx(network).SerializeToString())
    (logits,) = session.run(None, {"input": split.test_images})
    assert logits.shape == (450, 10)
    accuracy = float((logits.argmax(axis=1) == split.test_labels).mean())
    assert accuracy == pytest.approx(network.accuracy)
    assert accuracy >= 0.95
    np.testing.assert_allclose(logits, network.logits(split.test_images), rtol=1e-4, atol=1e-4)
    # scikit-learn's own forward pass on the same weights.
    judge = MLPClassifier(mlp.HIDDEN, max_iter=1, random_state=1)
    with pytest.warns(ConvergenceWarning):
        judge.fit(split.train_images.reshape(-1, 784), split.train_labels)
    judge.coefs_, judge.intercepts_ = list(network.weights), list(network.biases)
    expected = judge.predict_proba(split.test_images.reshape(-1, 784))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax, expected, atol=1e-5)


def test_torchscript_agrees(network: mlp.Mlp) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[torch]'")
    images = digits.split_digits().test_images
    module = mlp.to_torchscript(network)
    answer = module(torch.from_numpy(images.copy())).numpy()
    np.testing.assert_allclose(answer, network.logits(images), rtol=1e-4, atol=1e-4)
    assert [argument.name for argument in module.forward.schema.arguments] == ["self", "input"]


def test_onnx_is_what_ngc_24_10_reads(network: mlp.Mlp) -> None:
    model = mlp.to_onnx(network)
    assert model.ir_version <= 9
    assert model.opset_import[0].version <= 18
    assert len(model.opset_import) == 1

    def shape(value: onnx.ValueInfoProto) -> list[str | int]:
        return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]

    (given,), (answer,) = model.graph.input, model.graph.output
    assert (given.name, shape(given)) == ("input", ["batch", 1, 28, 28])
    assert (answer.name, shape(answer)) == ("output", ["batch", 10])
    assert {v.type.tensor_type.elem_type for v in (given, answer)} == {onnx.TensorProto.FLOAT}


def test_two_builds_in_two_processes_are_bit_identical(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from lab_utils.models import mlp\n"
        "sys.stdout.buffer.write(mlp.to_onnx(mlp.train()).SerializeToString(deterministic=True))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=120).stdout
        for _ in range(2)
    ]
    assert len(runs[0]) > 100_000
    assert runs[0] == runs[1]


def test_build_caches_and_rebuilds(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = cache / "repository" / "mnist_mlp" / "1" / "model.onnx"
    written = build.build_models(repository=cache / "repository")
    assert target in written
    first = target.read_bytes()
    trained: list[int] = []
    real = mlp.train
    monkeypatch.setattr(mlp, "train", lambda *given: trained.append(1) or real(*given))
    assert build.build_models(repository=cache / "repository") == []
    target.write_bytes(b"half a file")
    assert build.build_models(repository=cache / "repository") == [target]
    assert target.read_bytes() == first
    assert trained == []
    # A changed recipe has another hash, so it is trained again.
    monkeypatch.setattr(build, "version", lambda library: "another")
    build.build_models(repository=cache / "repository")
    assert trained == [1, 1], "the model and its small version"
    assert len([p for p in (cache / "cache" / "models").iterdir() if p.is_dir()]) == 2


def test_torchscript_file_is_built_on_demand(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[torch]'")
    real = build.build_models
    monkeypatch.setattr(build, "build_models", lambda: real(repository=cache / "repository"))
    path = build.torchscript_file()
    assert path.is_relative_to(cache)
    assert build.accuracy() >= 0.95
    monkeypatch.setattr(build, "has_torch", lambda: False)
    with pytest.raises(LabError, match="needs PyTorch"):
        build.torchscript_file()


def test_the_small_version_has_the_same_signature_and_is_a_little_worse(cache: Path) -> None:
    path = build.version_file("small")
    small, split = onnxruntime.InferenceSession(path.read_bytes()), digits.split_digits()
    large = onnxruntime.InferenceSession(build.model_cache().onnx.read_bytes())
    for ask in (onnxruntime.InferenceSession.get_inputs, onnxruntime.InferenceSession.get_outputs):
        (one,), (two,) = ask(small), ask(large)
        assert (one.name, one.shape, one.type) == (two.name, two.shape, two.type)
    (logits,) = small.run(None, {"input": split.test_images})
    accuracy = float((logits.argmax(axis=1) == split.test_labels).mean())
    assert accuracy == pytest.approx(build.accuracy("small"))
    assert 0.85 <= accuracy < build.accuracy() - 0.02
    assert path.stat().st_size * 20 < build.model_cache().onnx.stat().st_size
    with pytest.raises(LabError, match="no version 'large'"):
        build.version_file("large")


def test_a_bad_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlp, "EPOCHS", 1)
    monkeypatch.setattr(mlp, "HIDDEN", (2,))
    with pytest.raises(LabError, match="at least 95% are needed"):
        mlp.train()


def test_config_is_exactly_the_wanted_one() -> None:
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    text = (project_root() / "model_repository" / "mnist_mlp" / "config.pbtxt").read_text()
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    wanted = model_config_pb2.ModelConfig(
        name="mnist_mlp",
        platform="onnxruntime_onnx",
        max_batch_size=8192,
        input=[model_config_pb2.ModelInput(name="input", data_type="TYPE_FP32", dims=[1, 28, 28])],
        output=[model_config_pb2.ModelOutput(name="output", data_type="TYPE_FP32", dims=[10])],
    )
    assert config == wanted


def test_pictures() -> None:
    images = digits.split_digits().test_images[:3]
    figure = digits.draw_digits(images, ["a", 5, 2])
    assert [axes.get_title() for axes in figure.axes] == ["a", "5", "2"]
    assert np.array_equal(figure.axes[1].images[0].get_array(), images[1, 0])
    assert digits.digit_text(np.zeros((1, 28, 28), np.float32)).split("\n") == [" " * 14] * 7
    assert set(digits.digit_text(np.ones((1, 28, 28), np.float32))) == {"█", "\n"}
    console = Console(width=60, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(digits.rich_digits(images, ["zero", 4, 8]))
    assert re.search(r"zero\s+4\s+8", console.export_text())
