"""The instruments of a check on a real server: digits, reference, statistics, throwaway servers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tritonclient.http
from tiny_checks import check_classify

from lab_utils import server as triton
from lab_utils.errors import LabError
from lab_utils.lab import Lab
from lab_utils.progress.context import LabContext, Refusal
from lab_utils.progress.probes import latest_version

pytestmark = pytest.mark.live


def infer(address: str, images: np.ndarray) -> np.ndarray:
    with tritonclient.http.InferenceServerClient(address) as client:
        tensor = tritonclient.http.InferInput("input", list(images.shape), "FP32")
        tensor.set_data_from_numpy(images)
        return client.infer("mnist_mlp", [tensor]).as_numpy("output")


def test_digits_are_real_fresh_and_still_readable(ctx: LabContext) -> None:
    images, labels = ctx.digits(300)
    again, _ = LabContext.of("90").digits(300)
    assert images.shape == (300, 1, 28, 28)
    assert images.dtype == np.float32
    assert labels.dtype == np.int64
    assert 0 <= images.min() <= images.max() <= 1
    assert not (images == again).all(axis=(1, 2, 3)).any()
    assert (ctx.reference(images).argmax(axis=1) == labels).mean() > 0.9
    assert ctx.digits(3000)[0].shape == (3000, 1, 28, 28)


def test_the_reference_is_what_the_server_answers(ctx: LabContext) -> None:
    images, _ = ctx.digits(40)
    served = infer(ctx.need_server().endpoints.http, images)
    np.testing.assert_allclose(ctx.reference(images), served, rtol=1e-5, atol=1e-5)


def test_counting_is_exact_right_after_the_answer(ctx: LabContext) -> None:
    images, _ = ctx.digits(6)
    for _ in range(5):
        with ctx.counting("mnist_mlp") as delta:
            infer(ctx.need_server().endpoints.http, images)
            infer(ctx.need_server().endpoints.http, images[:1])
        assert (delta.inference_count, delta.execution_count, delta.success_count) == (7, 2, 2)


def test_counting_names_an_absent_model(ctx: LabContext) -> None:
    with pytest.raises(LabError, match="'nobody'"), ctx.counting("nobody"):
        pass


def test_a_fresh_server_is_another_one_and_ends_with_the_check(ctx: LabContext) -> None:
    server = ctx.fresh_server(wait_for=["mnist_mlp"])
    assert server.endpoints.http != ctx.need_server().endpoints.http
    assert ctx.get("/v2/models/mnist_mlp/ready", server).status_code == 200
    ctx.close()
    assert not server.alive()
    assert triton.find(server.name) is None
    assert ctx.need_server().alive()


def test_a_fresh_server_that_cannot_start_is_a_verdict(ctx: LabContext) -> None:
    with pytest.raises(Refusal) as caught:
        ctx.fresh_server(options=["--no-such-option=1"])
    assert "no-such-option" in caught.value.verdict.found
    with pytest.raises(triton.ServerError):
        ctx.fresh_server(options=["--no-such-option=1"], expect_failure=True)


def test_scratch_is_removed(ctx: LabContext) -> None:
    folder = ctx.scratch()
    (folder / "x").write_text("y")
    ctx.close()
    assert not folder.exists()


def test_the_highest_version_is_the_latest(tmp_path: Path) -> None:
    for name in ("2", "10", "x", "1"):
        (tmp_path / "m" / name).mkdir(parents=True)
    assert latest_version(tmp_path, "m").name == "10"
    with pytest.raises(LabError, match="no version folder"):
        latest_version(tmp_path, "absent")


def test_a_check_sees_an_answer_that_never_asked_the_server(ctx: LabContext, lab: Lab) -> None:
    labels = ctx.reference

    def by_hand(address: str, images: np.ndarray) -> np.ndarray:
        return labels(images).argmax(axis=1)

    with pytest.raises(Refusal, match="Triton counted 0"):
        check_classify(ctx, {"classify": by_hand})
