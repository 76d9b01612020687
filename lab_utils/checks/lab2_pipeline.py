"""Checkpoint 2.10: an ensemble of a preprocessing step and the classifier."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.http as httpclient
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from lab_utils.checks.asking import need_return, shorten
from lab_utils.checks.loading import load
from lab_utils.checks.repositories import fresh_name, place
from lab_utils.paths import project_root
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed
from lab_utils.server.base import Server

_LIMIT = 1024
"""The largest batch of `digits_preprocess`."""

_ADVICE = {
    r"member of oneof": "An ensemble has a scheduler of its own. Its steps make the batches: leave it out.",
    r"^\d+:\d+: Unknown enumeration": "In a config the types begin with `TYPE_`.",
    r"^\d+:\d+: ": "Mend the text at that line and column.",
    r"Could not determine backend": 'An ensemble says `platform: "ensemble"`.',
    r"whose platform is not ensemble": 'It is a platform, not a backend: `platform: "ensemble"`.',
    r"unexpected directory name": "Use the argument `name`.",
    r"models that are not available": "The steps' models have other names here: use the arguments "
    "`preprocess` and `classifier`.",
    r"allows maximum batch size": "An ensemble cannot take more than the smallest of its steps.",
    r"inconsistent data type: TYPE_FP32 is inferred from model {name}": "The ensemble's input is what the "
    "first step reads: bytes.",
    r"inconsistent data type": "This tensor is written as one type and read as another. Is a step missing "
    "between the two?",
    r"inconsistent shape": "The dims are those of the step that reads or writes this tensor; the batch "
    "dimension is left out.",
    r"is not connected": "No step writes a tensor of that name. `key` is the model's own name, `value` the "
    "name in the ensemble: the same `value` on both sides joins two steps.",
    r"is unused in ensemble": "Every tensor in the ensemble is read by a step, or is an output. Two steps "
    "are enough.",
    r"is not used": "An output of the ensemble must be the `value` in an `output_map`, and an input the "
    "`value` in an `input_map`.",
    r"required version 0": "Say which version a step takes: `model_version: -1` is the latest.",
    r"instance group should not": "An ensemble has no instances: it is not a process. Its steps have them.",
    r"must specify 'ensemble_scheduling'": "The steps stand in `ensemble_scheduling { step [ … ] }`.",
}
"""Triton's words → what to do."""


def _place_python(folder: Path, name: str) -> None:
    """`digits_preprocess` under another name."""
    source = project_root() / "model_repository" / "digits_preprocess"
    shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    config = folder / name / "config.pbtxt"
    config.write_text(config.read_text().replace('"digits_preprocess"', f'"{name}"'))


def _load(server: Server, folder: Path, name: str, text: Any) -> None:
    need_return("ensemble_config", text)
    if not isinstance(text, str):
        refuse(
            expected="`ensemble_config` returns the text of a config",
            found=f"it returned {type(text).__name__}",
            next_step="Return the text itself; the check writes the file.",
        )
    (folder / name / "1").mkdir(parents=True)
    (folder / name / "config.pbtxt").write_text(text)
    if reason := load(server, name):
        advice = next(
            (step for words, step in _ADVICE.items() if re.search(words.format(name=name), reason)),
            "Mend what Triton names.",
        )
        refuse(expected=f"Triton loads the ensemble `{name}`", found=reason, next_step=advice)


def _judge_config(ctx: LabContext, server: Server, name: str) -> None:
    """The served config, as far as loading it has not judged it already."""
    config = ctx.get(f"/v2/models/{name}/config", server).json()
    if config.get("platform") != "ensemble":
        refuse(
            expected="a model of the platform `ensemble`",
            found=f"the platform is {config.get('platform')!r}",
            next_step='Write `platform: "ensemble"`.',
        )
    for kind, wanted in (("input", "image"), ("output", "scores")):
        names = [tensor["name"] for tensor in config[kind]]
        if names != [wanted]:
            refuse(
                expected=f"the ensemble has one {kind}: `{wanted}`",
                found=f"its {kind}s are: {', '.join(names)}",
                next_step=f"Name it `{wanted}`, also as `value` in the step.",
            )
    limit = config.get("max_batch_size", 0)
    if limit != _LIMIT:
        refuse(
            expected=f"batches of up to {_LIMIT} pictures: what both steps take",
            found="max_batch_size is 0: one picture a request, and none can be sent as a batch"
            if limit == 0
            else f"max_batch_size is {limit}",
            next_step=f"Write `max_batch_size: {_LIMIT}`.",
        )
    versions = [step.get("model_version") for step in config["ensemble_scheduling"]["step"]]
    if any(version not in (-1, "-1") for version in versions):
        refuse(
            expected="both steps take the latest version of their model",
            found=f"model_version is {versions}",
            next_step="Write `model_version: -1` in each step: a fixed number would stay behind.",
        )


def _ask(server: Server, name: str, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    with httpclient.InferenceServerClient(server.endpoints.http, network_timeout=30) as client:
        tensor = httpclient.InferInput("image", pictures.shape, "UINT8").set_data_from_numpy(pictures)
        try:
            scores: NDArray[np.float32] = client.infer(name, [tensor]).as_numpy("scores")
        except InferenceServerException as error:
            refuse(
                expected=f"the ensemble answers a request of {len(pictures)} pictures",
                found=shorten(error.message()),
                next_step="Mend the config where it and the request disagree.",
            )
    return scores


@checkpoint(
    "2.10", title="An ensemble", points=4, minutes=7, difficulty=2, answers=("ensemble_config",),
    needs_server=False,
)  # fmt: skip
def check_ensemble(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """The ensemble loads beside models of fresh names, and both of them do its work."""
    name, preprocess, classifier = (fresh_name(ctx, word) for word in ("pipeline", "bytes", "digits"))
    text = ctx.call(answers["ensemble_config"], name, preprocess, classifier)
    folder = ctx.scratch()
    place(ctx, folder, classifier)
    _place_python(folder, preprocess)
    options = ["--model-control-mode=explicit", "--disable-auto-complete-config", "--exit-timeout-secs=0"]
    steps = [f"--load-model={model}" for model in (preprocess, classifier)]
    server = ctx.fresh_server(folder, options=[*options, *steps], wait_for=[preprocess, classifier])
    _load(server, folder, name, text)
    _judge_config(ctx, server, name)

    count = int(ctx.rng.integers(11, 60))
    pictures = np.round(ctx.digits(count)[0][:, 0] * 255).astype(np.uint8)
    with ctx.counting(preprocess, server) as first, ctx.counting(classifier, server) as second:
        scores = _ask(server, name, pictures)
    runs = {preprocess: first.success_count, classifier: second.success_count}
    if set(runs.values()) != {1}:
        refuse(
            expected="one request to the ensemble is one request to each of its two steps",
            found=f"Triton counted {', '.join(f'{n} at {model}' for model, n in runs.items())}",
            next_step="Two steps: `preprocess`, then `classifier`.",
        )
    wanted = ctx.reference(pictures[:, np.newaxis].astype(np.float32) / np.float32(255))
    if scores.shape != wanted.shape or not np.allclose(scores, wanted, atol=1e-3):
        refuse(
            expected=f"the classifier's scores: FP32 of shape {wanted.shape}",
            found=f"shape {scores.shape}, and other numbers",
            next_step="Look at what each step reads and writes.",
        )
    return passed(
        f"{count} pictures of bytes went through both steps in one request",
        ensemble=name,
        inferences=[first.inference_count, second.inference_count],
    )
