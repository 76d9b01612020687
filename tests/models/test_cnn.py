"""The convolutional network: good enough, the same bits each time, the same answers in every form."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest
import tritonclient.grpc as grpcclient

from lab_utils import server as triton
from lab_utils.errors import LabError
from lab_utils.models import build, build_cnn
from lab_utils.models.digits import split_digits
from lab_utils.paths import project_root
from lab_utils.progress.repository import copy_models
from lab_utils.repository.lint import lint_repository
from lab_utils.server.base import Server

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[torch]'")
from lab_utils.models import cnn  # noqa: E402 - it imports PyTorch

SPLIT = split_digits()


@pytest.fixture(scope="module")
def network() -> cnn.DigitsCnn:
    return build_cnn.load_cnn()


def _scores(network: Any, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network(torch.from_numpy(images.copy())).numpy()


def test_accuracy(network: cnn.DigitsCnn) -> None:
    read = float((_scores(network, SPLIT.test_images).argmax(axis=1) == SPLIT.test_labels).mean())
    assert read == pytest.approx(build_cnn.cnn_accuracy())
    assert read >= 0.97
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("rows", [1, 2, 7, 64])
def test_script_trace_and_onnx_answer_alike_at_every_batch(network: cnn.DigitsCnn, rows: int) -> None:
    images = SPLIT.test_images[:rows]
    expected, cache = _scores(network, images), build_cnn.cnn_cache()
    for file in (cache.torchscript, cache.traced):
        module = torch.jit.load(str(file))
        np.testing.assert_allclose(_scores(module, images), expected, atol=1e-5)
        assert [argument.name for argument in module.forward.schema.arguments] == ["self", "images"]
    session = onnxruntime.InferenceSession(cache.onnx.read_bytes())
    assert [(i.name, i.shape) for i in session.get_inputs()] == [("input", ["batch", 1, 28, 28])]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [("output", ["batch", 10])]
    np.testing.assert_allclose(session.run(None, {"input": images})[0], expected, atol=1e-4)


def test_it_has_the_layers_whose_mode_matters(network: cnn.DigitsCnn) -> None:
    """An export in training mode must be seen to be wrong: the exercises rest on it."""
    images = SPLIT.test_images[:8]
    training = build_cnn.load_cnn().train()
    assert np.abs(_scores(training, images) - _scores(network, images)).max() > 0.1


def test_torchscript_is_what_ngc_24_10_reads() -> None:
    """PyTorch 2.5 in that container reads archives up to version 10, and has these operators."""
    with zipfile.ZipFile(build_cnn.cnn_cache().torchscript) as archive:
        assert int(archive.read("archive/version")) <= 10
        code = "".join(archive.read(n).decode() for n in archive.namelist() if n.endswith(".py"))
    assert "lab_utils.errors" not in code
    operators = {word.split("(")[0] for word in code.split("torch.")[1:]}
    assert {"conv2d", "batch_norm", "relu", "flatten", "linear"} <= operators


def test_unknown_ways_to_export_are_refused(network: cnn.DigitsCnn) -> None:
    with pytest.raises(ValueError, match="'script' or 'trace'"):
        cnn.to_torchscript(network, "compile")


def test_two_trainings_in_two_processes_are_bit_identical() -> None:
    from safetensors.torch import save

    script = (
        "import sys; from safetensors.torch import save; from lab_utils.models import cnn\n"
        "sys.stdout.buffer.write(save(cnn.train(1, 0.0)[0].state_dict()))"
    )
    there = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, timeout=120
    ).stdout
    here = save(cnn.train(1, 0.0)[0].state_dict())
    assert len(here) > 30_000
    assert here == there


def test_training_leaves_no_trace_in_the_process() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    with pytest.raises(LabError, match="at least 97% are needed"):
        cnn.train(epochs=1)
    assert torch.equal(torch.rand(1), expected)
    assert torch.get_num_threads() == threads


def test_the_build_fills_a_repository_and_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[int] = []
    real = cnn.train
    monkeypatch.setattr(cnn, "train", lambda *given: trained.append(1) or real(1, 0.0))
    monkeypatch.setenv("TRITON_LAB_CACHE", str(tmp_path / "cache"))
    repository = tmp_path / "repository"
    assert not any("digits_cnn" in str(path) for path in build.build_models(repository=repository))
    assert trained == [], "only a repository that has the model's config wants it"
    (repository / "digits_cnn").mkdir(parents=True)
    target = repository / "digits_cnn" / "1" / "model.pt"
    assert build.build_models(repository=repository) == [target]
    first = target.read_bytes()
    target.write_bytes(b"half a file")
    assert build.build_models(repository=repository) == [target]
    assert (target.read_bytes(), trained) == (first, [1])
    monkeypatch.setattr(build_cnn, "version", lambda library: "another")
    build_cnn.build_cnn()
    assert trained == [1, 1]


def test_without_pytorch_the_rest_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_cnn, "_NEEDED", ("torch", "a_package_that_nobody_has"))
    (tmp_path / "repository" / "digits_cnn").mkdir(parents=True)
    build.build_models(repository=tmp_path / "repository")
    assert (tmp_path / "repository" / "mnist_mlp" / "1" / "model.onnx").exists()
    assert not (tmp_path / "repository" / "digits_cnn" / "1").exists()
    monkeypatch.setenv("TRITON_LAB_CACHE", str(tmp_path / "empty"))
    with pytest.raises(LabError, match="needs PyTorch"):
        build_cnn.build_cnn()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    repository = tmp_path_factory.mktemp("cnn") / "models"
    copy_models(["digits_cnn"], repository)
    options = ["--disable-auto-complete-config"]
    server = triton.start(repository, name="test-cnn", options=options, wait_for=["digits_cnn"])
    yield server
    server.stop()


@pytest.mark.live
def test_served_as_it_stands(server: Server, network: cnn.DigitsCnn) -> None:
    """Every batch from one request, and many requests in one batch, like the module in this process."""
    expected = _scores(network, SPLIT.test_images)
    with grpcclient.InferenceServerClient(server.endpoints.grpc) as client:

        def ask(start: int, rows: int) -> float:
            images = SPLIT.test_images[start : start + rows]
            tensor = grpcclient.InferInput("INPUT__0", list(images.shape), "FP32")
            tensor.set_data_from_numpy(images)
            found = client.infer("digits_cnn", [tensor], client_timeout=30).as_numpy("OUTPUT__0")
            return float(np.abs(found - expected[start : start + rows]).max())

        assert max(ask(0, rows) for rows in (1, 2, 3, 17, 64)) < 1e-4
        with ThreadPoolExecutor(16) as pool:
            assert max(pool.map(lambda start: ask(start, 1 + start % 3), range(200))) < 1e-4
    stats = httpx.get(f"{server.endpoints.http_url}/v2/models/digits_cnn/stats").json()["model_stats"][0]
    assert stats["execution_count"] < stats["inference_count"]


@pytest.mark.live
def test_the_config_has_nothing_to_mend(server: Server) -> None:
    assert lint_repository(server.repository) == []
    config = (project_root() / "model_repository" / "digits_cnn" / "config.pbtxt").read_text()
    assert (server.repository / "digits_cnn" / "config.pbtxt").read_text() == config
