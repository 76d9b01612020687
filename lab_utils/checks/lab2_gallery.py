"""Checkpoint 2.12: a gallery of broken models, diagnosed and mended."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.http as httpclient
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from lab_utils.checks.asking import attempt, post, shorten
from lab_utils.checks.loading import load
from lab_utils.models.build import has_torch
from lab_utils.models.gallery import PHANTOM, SOUND, build_gallery, spare_network
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed
from lab_utils.server.base import Server

_LETTERS = {
    PHANTOM: "J",
    "ash": "D",
    "birch": "H",
    "cedar": "B",
    "elm": "C",
    "fir": "M",
    "hazel": "F",
    "juniper": "A",
    "maple": "E",
    "oak": "K",
    "pine": "I",
    "rowan": "L",
    "spruce": "N",
    "willow": "O",
    "yew": "G",
}
_BATCH = 64


def _judge_diagnosis(found: Any) -> None:
    if not isinstance(found, dict) or set(found) != set(_LETTERS):
        strange = sorted(set(_LETTERS) ^ set(found)) if isinstance(found, dict) else [shorten(repr(found))]
        refuse(
            expected=f"`diagnose` gives a letter to each of: {', '.join(_LETTERS)}",
            found=f"not so: {', '.join(map(str, strange))}",
            next_step="Fifteen entries, fifteen letters, with these names as keys.",
        )
    wrong = [case for case, letter in _LETTERS.items() if str(found[case]).strip().upper() != letter]
    if wrong:
        refuse(
            expected="each entry has the letter of its cause",
            found=f"{len(wrong)} of 15 do not fit yet: {', '.join(wrong)}",
            next_step="Look at these again: the log line first, then the config beside that of `zelkova`.",
        )


def _fingerprints(gallery: Path) -> Counter[tuple[str, str]]:
    """What a repair must not change: model and content, of the sound models and of every ONNX file.

    Names are left out: a repair may move a file, or copy it.
    """
    return Counter(
        (model, hashlib.sha256(file.read_bytes()).hexdigest())
        for file in gallery.rglob("*")
        if (model := file.relative_to(gallery).parts[0])
        and file.is_file()
        and (model in SOUND or file.suffix == ".onnx")
    )


def _mended(ctx: LabContext, mend: Any) -> Path:
    """A new gallery after the student's function; nothing is served yet."""
    gallery = build_gallery(ctx.scratch() / "gallery")
    spare = spare_network(ctx.scratch())
    before = _fingerprints(gallery)
    _, error = attempt(ctx, mend, gallery, spare)
    if error is not None:
        refuse(
            expected="`mend` runs to its end",
            found=f"{type(error).__name__}: {error}".replace(str(gallery), "gallery"),
            next_step="Mend that line of `mend`. `build_gallery` gives you a new gallery to try it on.",
        )
    changed = sorted({model for model, _ in before - _fingerprints(gallery)})
    if changed:
        refuse(
            expected="the sound models, and the files of all networks, stay as they were",
            found=f"changed or gone: {', '.join(changed)}",
            next_step="Repair the config, or the name of a file or folder; do not replace the network.",
        )
    return gallery


_Config = Mapping[str, Any]


def _batched(config: _Config) -> str:
    limit = config.get("max_batch_size", 0)
    return "" if limit == _BATCH else f"it loads, with a `max_batch_size` of {limit}"


def _batching(config: _Config) -> str:
    if "dynamic_batching" not in config:
        return "it loads, and its dynamic batching is gone"
    return _batched(config)


def _delayed(config: _Config) -> str:
    delay = config.get("dynamic_batching", {}).get("max_queue_delay_microseconds", 0)
    return _batching(config) or (
        "" if int(delay) == 500 else f"it loads, and its delay of 500 is now {delay}"
    )


def _preferred(config: _Config) -> str:
    sizes = config.get("dynamic_batching", {}).get("preferred_batch_size", [])
    return _batching(config) or ("" if 32 in sizes else "it loads, and its preferred batch of 32 is gone")


def _on_cpu(config: _Config) -> str:
    kinds = [group["kind"] for group in config["instance_group"]]
    return _batched(config) if kinds == ["KIND_CPU"] else f"its instances are {', '.join(kinds)}"


def _is(field: str, wanted: str) -> Callable[[_Config], str]:
    return lambda config: (
        _batched(config)
        if config.get(field) == wanted
        else f"it loads, as another kind of model: {field} is {config.get(field)!r}"
    )


_MEANT: dict[str, Callable[[_Config], str]] = {
    "juniper": _on_cpu,
    "maple": _delayed,
    "pine": _is("platform", "ensemble"),
    "spruce": _preferred,
    "willow": _is("backend", "python"),
    "yew": _is("platform", "pytorch_libtorch"),
}
"""Model → what its author meant, judged by the served config: empty, or what is wrong."""

_TENSORS = {
    "pine": ("image", "UINT8", "scores"),
    "willow": ("scores", "FP32", "digit"),
    "yew": ("INPUT__0", "FP32", "OUTPUT__0"),
}
"""Model → input, its type, and output; the others have those of the digits model."""


def _probe(server: Server, model: str, images: NDArray[np.float32], scores: NDArray[np.float32]) -> str:
    """Ask one batch. Empty, or what is wrong with the answer."""
    name, dtype, output = _TENSORS.get(model, ("input", "FP32", "output"))
    data: NDArray[Any] = images
    if model == "pine":
        data = np.round(images[:, 0] * 255).astype(np.uint8)
    elif model == "willow":
        data = scores
    with httpclient.InferenceServerClient(server.endpoints.http, network_timeout=30) as client:
        tensor = httpclient.InferInput(name, data.shape, dtype).set_data_from_numpy(data)
        try:
            answer = client.infer(model, [tensor]).as_numpy(output)
        except InferenceServerException as error:
            return f"it loads, and refuses a batch: {shorten(error.message(), 120)}"
    if answer is None:
        return f"it loads, and has no output `{output}` any more"
    digits = answer[:, 0] if model == "willow" else answer.argmax(axis=1)
    # The spare network of yew and the bytes of pine differ from the ONNX file's floats in the last places.
    agree = float((digits == scores.argmax(axis=1)).mean())
    return "" if agree > 0.95 else f"it loads, and {1 - agree:.0%} of its answers are wrong"


def _judge_model(
    ctx: LabContext, server: Server, model: str, images: NDArray[np.float32], scores: NDArray[np.float32]
) -> None:
    """Load one model and ask it."""
    expected = f"`{model}` is served as its author meant"
    if reason := load(server, model):
        refuse(
            expected=expected,
            found=f"Triton refuses `{model}`: {reason}",
            next_step=f"Mend `{model}`; all before it in the alphabet are well.",
        )
    if model == "elm" and ctx.get("/v2/models/elm/versions/2/ready", server).status_code != 200:
        refuse(
            expected=expected,
            found="`elm`: it loads, and serves version 1: not its newest",
            next_step="A version folder is a whole number, without zeros in front.",
        )
    config = ctx.get(f"/v2/models/{model}/config", server).json()
    wrong = _MEANT.get(model, _batched)(config) or _probe(server, model, images, scores)
    if wrong:
        refuse(
            expected=expected,
            found=f"`{model}`: {wrong}",
            next_step="Loading is not enough: see what the entry was to do, in its config as you found it.",
        )


@checkpoint(
    "2.12", title="Break it, fix it: the gallery", points=6, minutes=14, difficulty=3,
    answers=("diagnose", "mend"), needs_server=False,
)  # fmt: skip
def check_gallery(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Fifteen causes are known, and a new gallery, mended by the student, is served and asked."""
    _judge_diagnosis(ctx.call(answers["diagnose"]))
    gallery = _mended(ctx, answers["mend"])
    options = ["--model-control-mode=explicit", "--disable-auto-complete-config", "--exit-timeout-secs=0"]
    server = ctx.fresh_server(gallery, options=options)
    index = post(server.endpoints.http, "/v2/repository/index").json()
    if PHANTOM in [entry["name"] for entry in index]:
        refuse(
            expected="Triton finds models, and nothing else",
            found=f"its repository index still names `{PHANTOM}`",
            next_step="Jupyter made this folder. Remove it; nothing in it is needed.",
        )
    images, _ = ctx.digits(int(ctx.rng.integers(40, _BATCH)))
    scores = ctx.reference(images)
    served = [case for case in _LETTERS if case != PHANTOM and (case != "yew" or has_torch())]
    for model in served:
        _judge_model(ctx, server, model, images, scores)
    return passed(
        f"all fifteen are diagnosed and mended; {len(served)} models answered a batch of {len(images)}",
        models=served,
    )
