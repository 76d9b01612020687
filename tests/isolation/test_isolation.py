"""No request ever sees another's data: distinct payloads, thousands of requests, mixed into batches."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnxruntime
import pytest

from lab_utils.models.build import has_torch, model_cache
from lab_utils.server.base import Server
from tests.isolation.crowd import Array, Question, ask_all, faults, statistics

pytestmark = pytest.mark.live
TORCH = pytest.mark.skipif(not has_torch(), reason="PyTorch is not installed: make test EXTRAS=torch")


def numbers(count: int, model: str, lengths: tuple[int, ...]) -> list[Question]:
    """`count` questions of 1 to 4 rows; all values of all questions are different whole numbers.

    Up to 2^22, so that FP32 holds `2 x + 1` exactly: the answer must agree to the last bit.
    """
    values = np.random.default_rng(count).permutation(2**22)
    made, start = [], 0
    for place in range(count):
        shape = (1 + place % 4, lengths[place // 64 % len(lengths)])
        size = shape[0] * shape[1]
        x = values[start : start + size].astype(np.float32).reshape(shape)
        start += size
        made.append(Question(model, {"x": x}, "y", 2 * x + 1))
    return made


@cache
def pictures(count: int) -> tuple[list[Array], list[Array]]:
    """Random pictures, UINT8 `[1 to 4, 28, 28]` a request, and their scores, calculated without Triton."""
    random = np.random.default_rng(3)
    images = [random.integers(0, 256, (1 + i % 4, 28, 28), dtype=np.uint8) for i in range(count)]
    session = onnxruntime.InferenceSession(model_cache().onnx.read_bytes())
    everything = np.concatenate(images)[:, None].astype(np.float32) / np.float32(255)
    (scores,) = session.run(None, {"input": everything})
    return images, np.split(scores, np.cumsum([len(i) for i in images])[:-1])


def no_mix_up(server: Server, questions: list[Question]) -> None:
    """Ask everything; every answer must be its own, and requests must have shared executions."""
    (model,) = {q.model for q in questions}
    before = statistics(server, model)
    found = faults(questions, ask_all(server, questions))
    after = statistics(server, model)
    assert not found, f"{len(found)} of {len(questions)} answers are wrong: {found[:5]}"
    assert after["requests"] - before["requests"] == len(questions)
    executions = after["executions"] - before["executions"]
    assert executions <= 0.8 * len(questions), f"hardly any batch was shared: {executions} executions"


@pytest.mark.parametrize(
    ("model", "lengths"),
    [
        ("onnx_fixed", (4,)),  # two instances
        ("onnx_any", (3, 5, 8)),  # only equal lengths may share a batch
        pytest.param("torch_any", (3, 5, 8), marks=TORCH),
    ],
)
def test_every_number_comes_back_to_its_own_client(
    server: Server, model: str, lengths: tuple[int, ...]
) -> None:
    no_mix_up(server, numbers(2000, model, lengths))


@pytest.mark.parametrize("model", ["digits_pipeline", "digits_bls"])
def test_every_picture_gets_its_own_scores(server: Server, model: str) -> None:
    images, scores = pictures(1200)
    rows = np.concatenate(scores)
    # The judge: batches of other sizes change the last bits, but strangers differ by far more than that.
    tolerance = 1e-4
    apart = np.abs(rows[:, None] - rows[None]).max(axis=2) + np.eye(len(rows)) * 1e9
    assert apart.min() > 100 * tolerance
    questions = [
        Question(model, {"image": i}, "scores", s, tolerance) for i, s in zip(images, scores, strict=True)
    ]
    before = [statistics(server, m) for m in ("digits_preprocess", "mnist_mlp")]
    found = faults(questions, ask_all(server, questions))
    assert not found, f"{len(found)} of {len(questions)} answers are wrong: {found[:5]}"
    for step, old in zip(("digits_preprocess", "mnist_mlp"), before, strict=True):
        new = statistics(server, step)
        assert new["requests"] - old["requests"] == len(questions)
        assert new["executions"] - old["executions"] < 0.5 * len(questions), f"{step} shared hardly any batch"


def test_the_response_cache_never_takes_one_payload_for_another(server: Server) -> None:
    """Payloads that differ by one bit or by a sign of zero; each sent three times."""
    base = np.arange(12, dtype=np.float32)
    contents = []
    for bit in range(32):
        flipped = base.copy()
        flipped.view(np.uint32)[5] ^= np.uint32(1 << bit)
        contents.append(flipped.reshape(1, 12))
    zero = np.zeros((1, 12), np.float32)
    contents += [zero, -zero]
    with np.errstate(over="ignore"):
        near = [Question("onnx_cached", {"x": x}, "y", np.float32(2) * x + np.float32(1)) for x in contents]
    far = numbers(600, "onnx_cached", (3, 5, 8))
    before = statistics(server, "onnx_cached")
    for _ in range(3):
        found = faults(near, ask_all(server, near)) + faults(far, ask_all(server, far))
        assert not found, found[:5]
    after = statistics(server, "onnx_cached")
    assert after["hits"] - before["hits"] >= 2 * len(near), "the cache was hardly used"


def test_the_response_cache_does_not_look_at_the_shape(server: Server) -> None:
    """A fault of this Triton that docs/worked-examples.md warns of: when this fails, take the warning out.

    Its key is made of the bytes, not of the shape. So a model with variable dimensions and a response cache
    answers a request with the answer to another one of the same bytes.
    """
    x = np.linspace(0, 1, 12, dtype=np.float32)  # bytes that no other test sends
    first, second = (Question("onnx_cached", {"x": x.reshape(s)}, "y", 2 * x + 1) for s in ((3, 4), (4, 3)))
    for question in (first, second):
        (answer,) = ask_all(server, [question], clients=1)
        assert not isinstance(answer, Exception)
        assert answer.shape == (3, 4)


def test_the_judge_sees_a_mixed_up_batch(server: Server) -> None:
    """The same crowd on a model that swaps the answers of a batch: it must be found out."""
    questions = numbers(400, "mixed_up", (4,))
    found = faults(questions, ask_all(server, questions))
    assert found
    assert any("it belongs to request" in text for text in found)
