"""Checkpoint 2.5: load with a config override, and with a file that lies in no folder."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.http as httpclient
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from lab_utils.checks.asking import call_at, shorten
from lab_utils.checks.lab2_live import load, reason_in_log, served_config, silent, unload
from lab_utils.checks.repositories import fresh_name, place
from lab_utils.progress.context import LabContext, Refusal, refuse
from lab_utils.progress.probes import latest_version, onnx_reference
from lab_utils.progress.recorder import Recorder
from lab_utils.progress.registry import Verdict, checkpoint, passed

_MAX_BATCH = 64

# A load request that the client or the server refuses: its words → the next step.
_HINTS = {
    "JSON non-string as string": "`config` is text: `json.dumps(config)`.",
    "at least one version": "The path in the request is `file:1/model.onnx`: the version, then the file.",
    "not an ONNX file": "Pass `onnx` as it is: the client encodes it.",
    "unable to find backend library": "The backend's name is `onnxruntime`, in full.",
}


def _fingerprint(folder: Path) -> dict[str, str]:
    """File → hash, of everything in a folder."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def _loads(recorder: Recorder) -> list[Any]:
    """The requests that asked to load a model."""
    return [r for r in recorder.requests if r.method == "POST" and r.path.endswith("/load")]


def _lost(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Fields of a served config that differ, the batching delay excepted: `name before → after`."""
    old, new = dict(before), dict(after)
    for config in (old, new):
        batching = dict(config.get("dynamic_batching") or {})
        batching.pop("max_queue_delay_microseconds", None)
        config["dynamic_batching"] = batching
    return [
        f"{key}: {shorten(old.get(key), 60)} → {shorten(new.get(key), 60)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _judge_override(ctx: LabContext, function: Any) -> int:
    """The one field is changed in the server, nothing else is, and the disk is as it was."""
    model = fresh_name(ctx, "waits")
    settings = "dynamic_batching { preferred_batch_size: [ 16 ] max_queue_delay_microseconds: 100 }\n"
    place(ctx, ctx.repository, model, edit=lambda text: text.replace("8192", "48") + settings)
    load(ctx, model)
    before, files = served_config(ctx, model), _fingerprint(ctx.repository)
    delay = int(ctx.rng.integers(2, 90)) * 1000
    hints = {
        "KeyError: 'dynamic_batching'": "`get_model_config(model)` has that key: "
        "read the config of `model`, over HTTP.",
    } | _HINTS
    server = ctx.need_server()
    with ctx.recorder(server.endpoints.http, keep=1 << 18) as recorder:
        try:
            call_at(ctx, silent(function), recorder, model, delay, hints=hints)
        except Refusal as refusal:
            _judge_words(refusal, reason_in_log(server, model))
            raise
    if any(path.endswith("/unload") for path in recorder.paths):
        refuse(
            expected=f"`{model}` answers all the time",
            found="it was unloaded: until it is loaded again, every client gets an error",
            next_step="A load alone replaces the config.",
        )
    after, changed = served_config(ctx, model), _fingerprint(ctx.repository)
    if changed != files:
        odd = sorted(name for name in changed.keys() | files.keys() if changed.get(name) != files.get(name))
        refuse(
            expected="the model repository on disk is as it was",
            found=f"changed on disk: {', '.join(odd)}",
            next_step="Do not write files: hand the config over in the load request, `config=…`.",
        )
    loads = _loads(recorder)
    if not loads:
        refuse(
            expected=f"a load request for `{model}`",
            found="no load request arrived: the dictionary changed in your program only",
            next_step="`client.load_model(model, config=json.dumps(config))`.",
        )
    if not any(b'"config"' in request.body for request in loads):
        refuse(
            expected="the load request carries the new config",
            found="the load request came without a config: Triton read the folder again",
            next_step="Pass it on as JSON text: `config=json.dumps(config)`.",
        )
    lost = _lost(before, after)
    if lost:
        refuse(
            expected="every field but the delay as before",
            found=f"the override replaced the whole config: {'; '.join(lost)}",
            next_step="Start from `client.get_model_config(model)`, change one field, send all of it.",
        )
    found = int((after.get("dynamic_batching") or {}).get("max_queue_delay_microseconds", 0))
    if found != delay:
        refuse(
            expected=f"max_queue_delay_microseconds is {delay}",
            found=f"the server reports {found}",
            next_step="`delay_us` is in microseconds, as the field is: "
            '`config["dynamic_batching"]["max_queue_delay_microseconds"] = delay_us`.',
        )
    return delay


def _judge_words(refusal: Refusal, reason: str) -> None:
    """The load API says only that a config is bad; the log says why."""
    if reason and "failed to poll" in refusal.verdict.found:
        refuse(
            expected="Triton understands the config in the load request",
            found=f"it refuses: {reason}",
            next_step="The JSON has the names and the nesting of config.pbtxt; `json.dumps` writes it.",
        )


def _other_network(ctx: LabContext) -> bytes:
    """The digits network with its last weights changed at random: its answers are its own."""
    import onnx
    from onnx import numpy_helper

    network = onnx.load(str(latest_version(ctx.repository, "mnist_mlp") / "model.onnx"))
    last = network.graph.initializer[-1]
    values = numpy_helper.to_array(last)
    changed = values + ctx.rng.normal(0, 1, values.shape).astype(values.dtype)
    last.CopyFrom(numpy_helper.from_array(changed, last.name))
    content: bytes = network.SerializeToString()
    return content


def _scores(address: str, model: str, images: NDArray[np.float32]) -> NDArray[np.float32]:
    with httpclient.InferenceServerClient(address, network_timeout=30) as client:
        tensor = httpclient.InferInput("input", images.shape, "FP32").set_data_from_numpy(images)
        scores: NDArray[np.float32] = client.infer(model, [tensor]).as_numpy("output")
    return scores


def _judge_memory(ctx: LabContext, function: Any) -> str:
    """A network that is in no folder answers under its name, in batches."""
    address = ctx.need_server().endpoints.http
    name, content = fresh_name(ctx, "memory"), _other_network(ctx)
    file = ctx.scratch() / "model.onnx"
    file.write_bytes(content)
    ctx.later(shutil.rmtree, ctx.repository / name, True)
    ctx.later(unload, address, name)
    hints = {
        "failed to poll from model repository": "`files` alone are refused: "
        "a `config` must come with them, and the path is `file:1/model.onnx`.",
        "unexpected error on creating Triton parameter": "The name of the file is `file:1/model.onnx`, with "
        "`file:` in front.",
    } | _HINTS
    with ctx.recorder(address) as recorder:
        call_at(ctx, silent(function), recorder, name, content, hints=hints)
    if (ctx.repository / name).exists():
        refuse(
            expected="a model without a folder",
            found=f"the folder {name} appeared in the model repository",
            next_step='Send the file with the request: `files={"file:1/model.onnx": onnx}`.',
        )
    if ctx.get(f"/v2/models/{name}/ready").status_code != 200:
        refuse(
            expected=f"`{name}` is ready",
            found="the server does not have it" + ("" if _loads(recorder) else ": no load request arrived"),
            next_step="`client.load_model(name, config=…, files=…)`.",
        )
    if ctx.get(f"/v2/models/{name}/versions/1/ready").status_code != 200:
        refuse(
            expected=f"`{name}` has version 1",
            found="it has another version alone",
            next_step="The number in the path is the version: `file:1/model.onnx`.",
        )
    batch = served_config(ctx, name)["max_batch_size"]
    if batch != _MAX_BATCH:
        refuse(
            expected=f"max_batch_size is {_MAX_BATCH}",
            found=f"the server reports {batch}" + (": auto-complete's guess" if batch == 4 else ""),
            next_step=f'Say it in the config: `"max_batch_size": {_MAX_BATCH}`.',
        )
    images, _ = ctx.digits(int(ctx.rng.integers(11, _MAX_BATCH)))
    wanted = onnx_reference(file, images)
    try:
        found = _scores(address, name, images)
    except InferenceServerException as error:
        refuse(
            expected=f"`{name}` answers for {len(images)} images",
            found=f"Triton refuses: {shorten(error)}",
            next_step="Input `input` FP32 [1, 28, 28] and output `output` FP32 [10]; the batch is left out.",
        )
    if found.shape != wanted.shape or not np.allclose(found, wanted, atol=1e-3):
        refuse(
            expected="the answers of the network that `onnx` holds",
            found="the answers of another network",
            next_step="Send the bytes that you are given, not a file of the repository.",
        )
    return name


@checkpoint(
    "2.5", title="Load with an override", points=4, minutes=6, difficulty=2,
    answers=("change_batching", "serve_from_memory"),
)  # fmt: skip
def check_control(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """One field of a served config is changed, and a network from memory is served; the disk stays."""
    name = _judge_memory(ctx, answers["serve_from_memory"])
    delay = _judge_override(ctx, answers["change_batching"])
    return passed(
        "one field was changed in the running server, and a model is served from memory",
        delay_us=delay,
        from_memory=name,
    )
