"""Checkpoint 1.7: a large batch through system shared memory, and nothing left behind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.utils.shared_memory as shm
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from lab_utils.checks.asking import attempt, call_at, inference_requests, judge_digits, post, request_header
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.recorder import Recorder
from lab_utils.progress.registry import Verdict, checkpoint, passed, skipped

_REGION = "/v2/systemsharedmemory/region/"
_BATCH = 8192
_HINTS = {
    "KeyError: 'data'": "The scores are in your region, not in the answer: "
    "read them with `shm.get_contents_as_numpy`."
}


def _register(address: str, name: str, key: str, size: int) -> str:
    """Register a region; returns Triton's refusal, or nothing."""
    answer = post(address, f"{_REGION}{name}/register", {"key": key, "offset": 0, "byte_size": size})
    return "" if answer.status_code == 200 else answer.text


def _bystander(ctx: LabContext, address: str) -> tuple[str, str]:
    """A region of another program, which must survive. Returns its name and Triton's refusal."""
    name = f"bystander_{int(ctx.rng.integers(1 << 30)):x}"
    region = shm.create_shared_memory_region(name, f"/{name}", 4096)

    def remove() -> None:
        with suppress(Exception):
            post(address, f"{_REGION}{name}/unregister")
        shm.destroy_shared_memory_region(region)

    ctx.later(remove)
    return name, _register(address, name, f"/{name}", 4096)


def _registrations(recorder: Recorder) -> dict[str, tuple[str, int]]:
    """Region name → key and size in bytes, of every registration that went through the recorder."""
    found = {}
    for request in recorder.requests:
        if request.path.startswith(_REGION) and request.path.endswith("/register"):
            name = request.path.removeprefix(_REGION).removesuffix("/register")
            with suppress(ValueError):
                body = json.loads(request.body)
                found[name] = (str(body.get("key", "")), int(body.get("byte_size", 0)))
    return found


def _regions(recorder: Recorder) -> dict[str, str]:
    """Region name → key."""
    return {name: key for name, (key, _) in _registrations(recorder).items()}


def _judge_sizes(recorder: Recorder, images: NDArray[np.float32]) -> None:
    wanted = sorted([images.nbytes, len(images) * 10 * 4])
    found = sorted(size for _, size in _registrations(recorder).values())
    if found != wanted:
        refuse(
            expected=f"regions as large as what they hold: {wanted} bytes",
            found=f"{found} bytes were registered",
            next_step="Use `bytes_in` for the images and `bytes_out` for the scores.",
        )


def _judge_nothing_left(ctx: LabContext, regions: Mapping[str, str], when: str) -> None:
    """Neither the server nor /dev/shm may know the regions any more. Cleans up what it finds."""
    address = ctx.need_server().endpoints.http
    status = ctx.get("/v2/systemsharedmemory/status").json()
    known = sorted({entry["name"] for entry in status} & set(regions))
    files = [Path("/dev/shm") / key.lstrip("/") for key in regions.values()]
    left = [file.name for file in files if file.exists()]
    for name in known:
        post(address, f"{_REGION}{name}/unregister")
    for file in files:
        file.unlink(missing_ok=True)
    if known:
        refuse(
            expected=f"{when}: the server has forgotten both regions",
            found=f"{len(known)} still registered",
            next_step="`client.unregister_system_shared_memory(NAME)` for both, in a `finally`.",
        )
    if left:
        refuse(
            expected=f"{when}: both regions are destroyed",
            found=f"{len(left)} still in /dev/shm: that memory stays taken",
            next_step="`shm.destroy_shared_memory_region(region)` for both, in a `finally`.",
        )


def _judge_bystander(ctx: LabContext, name: str) -> None:
    known = {entry["name"] for entry in ctx.get("/v2/systemsharedmemory/status").json()}
    if name not in known:
        refuse(
            expected="regions of other programs stay registered",
            found="another program's region is gone",
            next_step="`unregister_system_shared_memory()` without a name forgets everybody's.",
        )


def _judge_request(recorder: Recorder) -> None:
    sent = inference_requests(recorder)
    if len(sent) != 1:
        refuse(
            expected="one inference request",
            found=f"{len(sent)} HTTP inference requests arrived",
            next_step="Call `client.infer` once, over HTTP.",
        )
    if not _regions(recorder):
        refuse(
            expected="two regions are registered with the server",
            found="no region was registered: everything went through the socket",
            next_step="Create, fill and register, before you ask.",
        )
    header = request_header(sent[0])
    for kind, plural in (("input", "images"), ("output", "scores")):
        tensors = [t.get("parameters", {}) for t in header.get(f"{kind}s", [])]
        if not tensors or not all("shared_memory_region" in p for p in tensors):
            size = sent[0].body_length if kind == "input" else recorder.bytes_down
            refuse(
                expected=f"the {plural} travel through shared memory",
                found=f"the request's {kind} names no region: the {plural} went through the socket "
                f"({size:,d} bytes)",
                next_step=f"Call `set_shared_memory` on the "
                f"{'InferInput' if kind == 'input' else 'InferRequestedOutput, and pass it as outputs=[…]'}.",
            )


@checkpoint(
    "1.7", title="Batch 8192 through shared memory", points=4, minutes=9, difficulty=3,
    answers=("classify_shared_memory",),
)  # fmt: skip
def check_memory(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """8192 images, a request that fails, and two callers at once: right answers, and nothing left."""
    function = answers["classify_shared_memory"]
    address = ctx.need_server().endpoints.http
    bystander, refusal = _bystander(ctx, address)
    if refusal:
        return skipped(
            f"the server cannot see the shared memory of this machine: {refusal}",
            "Use the embedded runtime, or a container that shares it (`--ipc=host`).",
        )
    images, _ = ctx.digits(_BATCH)
    with ctx.counting("mnist_mlp") as delta, ctx.recorder(address) as recorder:
        found = call_at(ctx, function, recorder, images, hints=_HINTS)
    regions = _regions(recorder)
    if delta.inference_count != _BATCH:
        refuse(
            expected=f"{_BATCH} inferences",
            found=f"Triton counted {delta.inference_count}",
            next_step="Send all images in one request, through the region.",
        )
    _judge_request(recorder)
    _judge_sizes(recorder, images)
    _judge_nothing_left(ctx, regions, "after the call")
    _judge_bystander(ctx, bystander)
    judge_digits("classify_shared_memory", found, ctx.reference(images))

    small = ctx.digits(5)[0][:, :, :14, :14].copy()
    with ctx.recorder(address) as recorder:
        _, error = attempt(ctx, function, recorder.address, small)
    if not isinstance(error, InferenceServerException):
        refuse(
            expected="when Triton refuses images of 14 x 14 pixels, the caller sees InferenceServerException",
            found="no error at all" if error is None else f"{type(error).__name__}: {error}",
            next_step="Clean up in `finally`, not in `except`: then the error goes on.",
        )
    _judge_nothing_left(ctx, _regions(recorder), "after a request that failed")
    _two_at_once(ctx, function)
    return passed("8192 images through shared memory; nothing left behind", regions=len(regions))


def _two_at_once(ctx: LabContext, function: Any) -> None:
    pair = [ctx.digits(int(n))[0] for n in (211, 317)]
    with ctx.recorder(ctx.need_server().endpoints.http, delay=0.1) as recorder, ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda images: attempt(ctx, function, recorder.address, images), pair))
    regions = _regions(recorder)
    for images, (found, error) in zip(pair, results, strict=True):
        if error is not None:
            _clean(ctx, regions)
            refuse(
                expected="two programs can do it at the same time",
                found=f"two calls at once: {type(error).__name__}: {error}",
                next_step="Name the regions with `name_in` and `name_out`, which differ on each call.",
            )
        judge_digits("classify_shared_memory", found, ctx.reference(images))
    _judge_nothing_left(ctx, regions, "after two calls at once")


def _clean(ctx: LabContext, regions: Mapping[str, str]) -> None:
    with suppress(Exception):
        _judge_nothing_left(ctx, regions, "")
