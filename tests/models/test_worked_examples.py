"""The models of model_repository/: right answers, batches and errors, all on one real server."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from lab_utils import server as triton
from lab_utils.models.build import accuracy
from lab_utils.models.digits import split_digits, to_bytes
from lab_utils.paths import project_root
from lab_utils.server.base import Server
from tests.models.worked import MODELS, ask, counts, override, tensors

pytestmark = pytest.mark.live
SPLIT = split_digits()


def test_auto_complete_adds_nothing_that_the_configs_must_say(server: Server) -> None:
    """The same repository with auto-complete on serves the same tensors and batches."""
    other = triton.start(server.repository, name="worked-auto", wait_for=MODELS)
    try:
        for model in MODELS:
            strict, auto = (
                httpx.get(f"{s.endpoints.http_url}/v2/models/{model}/config").json() for s in (server, other)
            )
            for key in ("input", "output", "max_batch_size", "instance_group", "sequence_batching"):
                if key != "instance_group" or model != "mnist_mlp":
                    assert strict.get(key) == auto.get(key), (model, key)
    finally:
        other.stop()


def test_only_numpy_and_tritons_own_module_are_imported() -> None:
    """The container has nothing else. (The Llamas need PyTorch and this project: their pages say so.)"""
    import ast
    import sys

    found = [
        path
        for path in (project_root() / "model_repository").glob("*/1/model.py")
        if not path.parts[-3].startswith("llama")
    ]
    assert len(found) >= 4
    allowed = {"numpy", "triton_python_backend_utils", *sys.stdlib_module_names}
    for path in found:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, path


def test_a_clone_without_the_empty_version_folder_is_mended_by_the_build(tmp_path: Path) -> None:
    from lab_utils.models.build import build_models

    (tmp_path / "digits_pipeline").mkdir()
    build_models(repository=tmp_path)
    assert list((tmp_path / "digits_pipeline").iterdir()) == [tmp_path / "digits_pipeline" / "1"]
    assert not list((tmp_path / "digits_pipeline" / "1").iterdir())


def test_preprocess_gives_what_the_model_was_trained_on(client: Any) -> None:
    pictures = to_bytes(SPLIT.test_images)
    assert (pictures.shape, pictures.dtype, pictures.max()) == ((450, 28, 28), np.uint8, 255)
    prepared = ask(client, "digits_preprocess", "input_tensor", image=pictures)
    assert prepared.dtype == np.float32
    np.testing.assert_array_equal(prepared, pictures[:, None].astype(np.float32) / np.float32(255))
    # Bytes are steps of 1/255: nothing else may be lost of what the model saw in training.
    np.testing.assert_allclose(prepared, SPLIT.test_images, atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("model", ["digits_pipeline", "digits_bls"])
def test_the_pipelines_read_the_digits_as_well_as_the_model_itself(client: Any, model: str) -> None:
    pictures = to_bytes(SPLIT.test_images)
    direct = ask(client, "mnist_mlp", "output", input=pictures[:, None].astype(np.float32) / np.float32(255))
    scores = ask(client, model, "scores", image=pictures)
    np.testing.assert_array_equal(scores, direct)
    read = float((scores.argmax(axis=1) == SPLIT.test_labels).mean())
    assert read == pytest.approx(accuracy(), abs=0.005)


@pytest.mark.parametrize("rows", [1, 2, 7, 64, 450])
def test_bls_is_the_ensemble_bit_for_bit(client: Any, rows: int) -> None:
    pictures = to_bytes(SPLIT.test_images[:rows])
    ensemble, bls = (ask(client, m, "scores", image=pictures) for m in ("digits_pipeline", "digits_bls"))
    assert ensemble.shape == (rows, 10)
    assert ensemble.tobytes() == bls.tobytes()


@pytest.mark.parametrize(
    ("model", "output"),
    [("digits_preprocess", "input_tensor"), ("digits_pipeline", "scores"), ("digits_bls", "scores")],
)
def test_many_requests_at_once_each_get_their_own_rows(client: Any, model: str, output: str) -> None:
    starts = list(range(0, 400, 5))
    pictures = [to_bytes(SPLIT.test_images[s : s + 1 + s % 4]) for s in starts]
    alone = [ask(client, model, output, image=p) for p in pictures]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda p: ask(client, model, output, image=p), pictures))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_preprocess_and_bls_work_on_several_requests_in_one_execution(client: Any, server: Server) -> None:
    image = to_bytes(SPLIT.test_images[:1])
    before = counts(server, "digits_bls")
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda _: ask(client, "digits_bls", "scores", image=image), range(320)))
    after = counts(server, "digits_bls")
    assert after[0] - before[0] == 320
    assert after[1] - before[1] < 320


def test_without_an_inner_model_the_ensemble_goes_and_bls_says_why(client: Any) -> None:
    image = to_bytes(SPLIT.test_images[:1])
    client.unload_model("mnist_mlp")
    try:
        # Triton knows the steps of an ensemble and takes it out of service with them ...
        with pytest.raises(InferenceServerException, match="'digits_pipeline' has no available versions"):
            ask(client, "digits_pipeline", "scores", image=image)
        # ... but it cannot look into Python code.
        with pytest.raises(InferenceServerException, match=r"mnist_mlp: .*'mnist_mlp' is not ready"):
            ask(client, "digits_bls", "scores", image=image)
    finally:
        client.load_model("digits_pipeline")  # and with it its steps
    ensemble, bls = (ask(client, m, "scores", image=image) for m in ("digits_pipeline", "digits_bls"))
    assert ensemble.tobytes() == bls.tobytes()


def test_an_error_of_an_inner_model_fails_its_own_request_alone(client: Any, server: Server) -> None:
    override(client, "mnist_mlp", max_batch_size=4)
    small, large = to_bytes(SPLIT.test_images[:2]), to_bytes(SPLIT.test_images[:5])

    def call(position: int) -> str:
        try:
            return str(ask(client, "digits_bls", "scores", image=large if position % 4 == 0 else small).shape)
        except InferenceServerException as error:
            return error.message()

    before = counts(server, "digits_bls")
    try:
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(call, range(80)))
    finally:
        client.unload_model("mnist_mlp")
        client.load_model("digits_pipeline")
    executions = counts(server, "digits_bls")[1] - before[1]
    assert executions < 80, "no two requests were ever executed together, so this shows nothing"
    for position, answer in enumerate(answers):
        if position % 4 == 0:
            assert answer.startswith("mnist_mlp: ")
            assert "batch-size must be <= 4" in answer
        else:
            assert answer == "(2, 10)"


@pytest.mark.parametrize("model", ["digits_preprocess", "digits_pipeline", "digits_bls"])
def test_wrong_pictures_are_refused(client: Any, model: str) -> None:
    good = to_bytes(SPLIT.test_images[:1])
    for picture, words in (
        (good.astype(np.float32), "data-type"),
        (good[:, :14], "unexpected shape"),
        (good[0], "unexpected shape"),
        (np.zeros((1025, 28, 28), np.uint8), "batch-size must be <= 1024"),
    ):
        with pytest.raises(InferenceServerException, match=words):
            client.infer(model, tensors(image=picture))


def test_bls_answers_an_async_client_too(server: Server) -> None:
    """Many requests from one asyncio client: their inner calls run at the same time."""
    import tritonclient.grpc.aio as aio

    pictures = to_bytes(SPLIT.test_images[:40])

    async def all_of_them() -> list[NDArray[Any]]:
        async with aio.InferenceServerClient(server.endpoints.grpc) as client:
            calls = [client.infer("digits_bls", tensors(image=p[None])) for p in pictures]
            return [answer.as_numpy("scores") for answer in await asyncio.gather(*calls)]

    answers = np.concatenate(asyncio.run(all_of_them()))
    assert answers.shape == (40, 10)
    assert float((answers.argmax(axis=1) == SPLIT.test_labels[:40]).mean()) > 0.9
