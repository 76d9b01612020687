"""Checkpoints 1.5 and 1.6: inference over HTTP, gRPC and plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab_utils.checks.asking import attempt, call_at, inference_requests, is_binary, judge_digits, post
from lab_utils.progress.context import LabContext, Refusal, refuse
from lab_utils.progress.probes import Delta
from lab_utils.progress.recorder import Recorder
from lab_utils.progress.registry import Verdict, checkpoint, passed


def _judge_count(name: str, delta: Delta, images: int) -> None:
    """Refuse an answer that the model did not compute in one request for all images."""
    if delta.inference_count == 0:
        refuse(
            expected=f"`{name}` lets the served model classify {images} images",
            found="Triton counted no inference of mnist_mlp",
            next_step="Send the images you are given to the model `mnist_mlp`, and use its answer.",
        )
    if delta.success_count > 1:
        refuse(
            expected="one request for all images",
            found=f"{delta.success_count} requests for {images} images",
            next_step="The first dimension is the batch: send the whole array at once.",
        )
    if delta.inference_count != images:
        refuse(
            expected=f"{images} inferences",
            found=f"Triton counted {delta.inference_count}",
            next_step="Send all images, each once.",
        )


def _judge_transport(recorder: Recorder, wanted: str) -> None:
    """Refuse the other transport's client, which talks to a port that does not understand it."""
    if wanted == "gRPC" and recorder.grpc_calls == 0 and recorder.requests:
        refuse(
            expected="gRPC at the gRPC port",
            found=f"an HTTP request arrived: {recorder.paths[0]}",
            next_step="Use `grpcclient` for the client and for the input.",
        )
    if wanted == "HTTP" and recorder.bytes_up and not recorder.requests:
        refuse(
            expected="HTTP at the HTTP port",
            found="what arrived there is gRPC",
            next_step="Use `httpclient` for the client and for the input.",
        )


def _classify(ctx: LabContext, function: Any, target: str, transport: str) -> int:
    """Let a student's function classify fresh digits, and judge how and what it answers."""
    images, _ = ctx.digits(int(ctx.rng.integers(11, 40)))
    name = getattr(function, "__name__", "the function")
    with ctx.counting("mnist_mlp") as delta, ctx.recorder(target, keep=1 << 18) as recorder:
        try:
            found = call_at(ctx, function, recorder, images)
        except Refusal:
            _judge_transport(recorder, transport)
            raise
    _judge_transport(recorder, transport)
    _judge_count(name, delta, len(images))
    if transport == "HTTP":
        sent = inference_requests(recorder)
        if not sent or not is_binary(sent[0]):
            refuse(
                expected="tensors travel as bytes, in both directions",
                found="a tensor travels as JSON text",
                next_step="Leave out `binary_data=False`: binary is what tritonclient does by itself.",
            )
    judge_digits(name, found, ctx.reference(images))
    return len(images)


@checkpoint(
    "1.5", title="Classify digits over HTTP and gRPC", points=3, minutes=7, difficulty=1,
    answers=("classify_http", "classify_grpc"),
)  # fmt: skip
def check_classify(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Fresh digits, classified by the served model, in one binary request over each transport."""
    ends = ctx.need_server().endpoints
    over_http = _classify(ctx, answers["classify_http"], ends.http, "HTTP")
    over_grpc = _classify(ctx, answers["classify_grpc"], ends.grpc, "gRPC")
    return passed("fresh digits were classified by the server", http=over_http, grpc=over_grpc)


@checkpoint("1.6", title="JSON by hand", points=3, minutes=6, difficulty=2, answers=("classify_json",))
def check_json(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """One JSON request, its answer shaped right, and Triton's words when it refuses."""
    function = answers["classify_json"]
    images, _ = ctx.digits(int(ctx.rng.integers(11, 30)))
    target = ctx.need_server().endpoints.http
    with ctx.counting("mnist_mlp") as delta, ctx.recorder(target, keep=1 << 22) as recorder:
        try:
            found = call_at(ctx, function, recorder, images)
        except Refusal:
            _judge_accepted(recorder, target)
            raise
    sent = inference_requests(recorder)
    _judge_accepted(recorder, target)
    _judge_count("classify_json", delta, len(images))
    if not sent or "inference-header-content-length" in sent[0].headers:
        refuse(
            expected="a body that is JSON alone",
            found="the tensors were sent as bytes behind a JSON header",
            next_step="Build the body yourself and send it with `httpx.post(…, json=…)`.",
        )
    judge_digits("classify_json", found, ctx.reference(images))
    _judge_refusal(ctx, function, target)
    return passed("one JSON request, read back rightly", images=len(images), body_bytes=sent[0].body_length)


def _judge_accepted(recorder: Recorder, target: str) -> None:
    """Refuse a request that Triton refused, in Triton's words."""
    refused = next((request for request in inference_requests(recorder) if request.status >= 400), None)
    if refused is not None:
        refuse(
            expected="Triton accepts the request",
            found=f"it answered {refused.status}: {post(target, refused.path, _body(refused.body)).text}",
            next_step="Compare name, shape, datatype and data with the `curl` cell.",
        )


def _body(body: bytes) -> dict[str, Any]:
    import json

    try:
        content: dict[str, Any] = json.loads(body)
    except ValueError:
        return {}
    return content


def _judge_refusal(ctx: LabContext, function: Any, target: str) -> None:
    """Images of the wrong size: Triton refuses, and its words must reach the caller."""
    images, _ = ctx.digits(3)
    with ctx.recorder(target, keep=1 << 22) as recorder:
        _, error = attempt(ctx, function, recorder.address, images[:, :, :14, :14])
    expected = "a RuntimeError with Triton's own words when it refuses images of 14 x 14 pixels"
    sent = inference_requests(recorder)
    if not sent:
        refuse(
            expected=expected,
            found="no request was sent for them",
            next_step="Let Triton judge the shape: send what you are given, and read the answer.",
        )
    if error is None:
        refuse(
            expected=expected,
            found="it returned an answer",
            next_step="Send the real shape, `images.shape`, and look at `response.status_code`.",
        )
    if not isinstance(error, RuntimeError):
        refuse(
            expected=expected,
            found=f"it raised {type(error).__name__}: {error}",
            next_step="Look at `response.status_code` before you read the answer; not 200 means "
            "`raise RuntimeError(response.text)`.",
        )
    words = str(post(target, sent[-1].path, _body(sent[-1].body)).json().get("error", ""))
    if words.split("'")[0] not in str(error):
        refuse(
            expected=expected,
            found=f"it says {str(error)!r:.120}",
            next_step=f"Pass on `response.text`. Triton said: {words[:120]}",
        )
