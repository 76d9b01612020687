"""Checkpoint 2.2: config.pbtxt by hand, with auto-complete turned off."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import tritonclient.http as httpclient
from numpy.typing import NDArray

from lab_utils.checks.asking import need_return, shorten
from lab_utils.checks.loading import load
from lab_utils.checks.networks import onnx_network
from lab_utils.checks.repositories import fresh_name
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.probes import onnx_reference
from lab_utils.progress.registry import Verdict, checkpoint, passed
from lab_utils.server.base import Server

_CPU = "`kind: KIND_CPU` runs on every machine."

# Triton's words → the next step. The first that fits is taken.
_STEPS = {
    "has no field named": "Look for the field's real name in the list of changes above.",
    'for field "kind"': "Kinds of instances are written `KIND_CPU`, in capitals.",
    "Unknown enumeration value": "Types of tensors are written `TYPE_FP32`, in capitals.",
    'Expected integer or identifier, got: "': "A name of an enumeration stands without quotes.",
    "Expected identifier, got: {": "This is JSON. Write each field by itself: `field: value`.",
    "Expected string, got": 'Text stands in quotes: `name: "…"`.',
    "Expected integer, got": "A number belongs there. In an f-string an argument stands in single braces.",
    'found "="': "A field and its value are parted by a colon.",
    "failed to open text file": "`label_filename` is the name of a file beside config.pbtxt: `labels.txt`.",
    "Expected ": "The message reads LINE:COLUMN. Look there for a bracket too few, or a comma too many.",
    "directory name must equal": "Use the argument `name`: the config repeats the folder's name.",
    "unexpected platform type": "Write `backend:`; the platform of this backend is called otherwise.",
    "unable to find backend library": "The backend's name is `onnxruntime`, in full.",
    "must specify 'dims'": "Every tensor needs `dims`: the shape of one item.",
    "must specify 'data_type'": "Every tensor needs `data_type`.",
    "KIND_GPU but no GPUs": _CPU,
    "expects datatype": "The config has to say what the file says: TYPE_FP32.",
    "unexpected inference": "The name in the config is the one in the file, letter by letter.",
    "allowed inputs": "The name in the config is the one in the file, letter by letter.",
    "Could not determine backend": "Say `backend:`.",
}


def _refused(reason: str, text: str) -> NoReturn:
    """The verdict for a config that Triton does not load."""
    step = next((step for words, step in _STEPS.items() if words in reason), "Change what Triton names.")
    sizes = re.search(r"expects (\d+) dimensions .* specifies (\d+) dimensions", reason)
    if sizes and "an initial batch dimension" not in reason:
        step = "Without `max_batch_size` there is no batch: set it."
    elif sizes:
        one_more = int(sizes[2]) == int(sizes[1]) + 1
        step = "Triton puts the batch in front by itself: leave it out of `dims`."
        step = step if one_more else "`dims` has to be the file's own shape without its -1."
    line = reason.split(":")[0]
    lines = dict(enumerate(text.splitlines(), start=1))
    shown = lines.get(int(line), "").strip() if line.isdigit() else ""
    refuse(
        expected="Triton loads the model with this config, auto-complete off",
        found=f"it refuses: {reason}" + (f" (line {line} is: {shorten(shown)})" if shown else ""),
        next_step=step,
    )


def _text(ctx: LabContext, function: Any, name: str, largest: int) -> str:
    text = ctx.call(function, name, largest)
    need_return("write_config", text)
    if not isinstance(text, str):
        refuse(
            expected="`write_config` returns text",
            found=f"it returned {shorten(repr(text), 80)}",
            next_step='Return one string: `return f"""…"""`.',
        )
    return text


def _tensors(config: Mapping[str, Any], kind: str) -> list[tuple[str, str, list[int]]]:
    """Name, type and dims of each tensor, as the server reports them."""
    return [(t["name"], t["data_type"], [int(d) for d in t["dims"]]) for t in config.get(kind, [])]


def _judge_config(config: Mapping[str, Any], largest: int) -> None:
    """The config as Triton uses it."""
    groups = [(group["kind"], group["count"]) for group in config.get("instance_group", [])]
    if any(kind == "KIND_GPU" for kind, _ in groups):
        refuse(expected="one instance on the CPU", found=f"the instance group is {groups}", next_step=_CPU)
    labels = [output.get("label_filename", "") for output in config.get("output", [])]
    for what, found, wanted, advice in (
        ("the backend", config.get("backend"), "onnxruntime", "Write `backend:`."),
        ("max_batch_size", config.get("max_batch_size"), largest, "Use the argument `max_batch_size`."),
        (
            "the input", _tensors(config, "input"), [("input", "TYPE_FP32", [1, 28, 28])],
            "Declare what the file takes, without the batch.",
        ),
        (
            "the output", _tensors(config, "output"), [("output", "TYPE_FP32", [10])],
            "Declare what the file gives: a model without outputs loads, and answers nothing.",
        ),
        (
            "the instance group", groups, [("KIND_CPU", 1)],
            "Say `instance_group [ { count: 1 kind: KIND_CPU } ]`; without it the backend chooses.",
        ),
        ("label_filename of the output", labels, ["labels.txt"], "It stands inside the output's braces."),
    ):  # fmt: skip
        if found != wanted:
            refuse(expected=f"{what} is {wanted}", found=f"{what} is {found}", next_step=advice)


def _classes(server: Server, model: str, images: NDArray[np.float32]) -> list[str]:
    """The name of the best class of each image, by Triton's classification extension."""
    with httpclient.InferenceServerClient(server.endpoints.http, network_timeout=30) as client:
        tensor = httpclient.InferInput("input", images.shape, "FP32").set_data_from_numpy(images)
        best = httpclient.InferRequestedOutput("output", class_count=1)
        answer = client.infer(model, [tensor], outputs=[best]).as_numpy("output")
    # Each entry reads SCORE:INDEX:LABEL.
    return [entry.decode().split(":")[2] for entry in answer.reshape(-1)]


def _place(ctx: LabContext, repository: Path, name: str, labels: list[str]) -> Path:
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    (repository / name / "labels.txt").write_text("\n".join(labels) + "\n")
    return onnx_network(ctx, folder / "model.onnx")


@checkpoint(
    "2.2", title="Write a config by hand", points=3, minutes=6, difficulty=2, answers=("write_config",),
    needs_server=False,
)  # fmt: skip
def check_config(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Configs for two fresh names are loaded, reported and used as the exercise says."""
    repository = ctx.scratch()
    largest = dict.fromkeys((fresh_name(ctx, "digits"), fresh_name(ctx, "numbers")), 0)
    labels = [fresh_name(ctx, "class") for _ in range(10)]
    texts, files = {}, {}
    for name in largest:
        largest[name] = int(ctx.rng.integers(17, 99)) + max(largest.values())
        texts[name] = _text(ctx, answers["write_config"], name, largest[name])
        files[name] = _place(ctx, repository, name, labels)
        (repository / name / "config.pbtxt").write_text(texts[name])
    server = ctx.fresh_server(
        repository, options=["--model-control-mode=explicit", "--disable-auto-complete-config"]
    )
    for name in largest:
        if reason := load(server, name):
            _refused(reason, texts[name])
        _judge_config(ctx.get(f"/v2/models/{name}/config", server).json(), largest[name])
        images, _ = ctx.digits(largest[name])
        wanted = [labels[best] for best in onnx_reference(files[name], images).argmax(axis=1)]
        if _classes(server, name, images) != wanted:
            refuse(
                expected=f"`{name}` answers {largest[name]} images with the names of their classes",
                found="other answers than the file's own",
                next_step="Compare the config with the bullets, line by line.",
            )
    return passed(
        "Triton loads the config with auto-complete off, and answers with class names",
        models=largest,
        address=server.endpoints.http,
    )
