"""Checkpoint 2.4: two versions side by side, split by client, and a rollback."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from lab_utils import web
from lab_utils.checks.asking import call_at, judge_digits, with_hint
from lab_utils.checks.lab2_split import judge_split
from lab_utils.checks.loading import load
from lab_utils.checks.networks import onnx_network
from lab_utils.checks.repositories import NOT_ONNX, fresh_name
from lab_utils.errors import LabError
from lab_utils.progress.context import LabContext, Refusal, refuse
from lab_utils.progress.probes import http_get, onnx_reference
from lab_utils.progress.registry import Verdict, checkpoint, passed
from lab_utils.repository import read_config
from lab_utils.server.base import Server

_CONFIG = """name: "{name}"
backend: "onnxruntime"
max_batch_size: 64
input [ {{ name: "input" data_type: TYPE_FP32 dims: [ 1, 28, 28 ] }} ]
output [ {{ name: "output" data_type: TYPE_FP32 dims: [ 10 ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
"""

_HINTS = {
    "model version must be a string": "tritonclient takes a version as text: `str(version)`.",
    # Triton's HTTP frontend knows no path `…/versions/None/infer`.
    r"\[404\] Not Found": "No version is an empty string, not `None`.",
    "unknown model": "Ask the server at `url`, over HTTP: the lab's own server does not have this model.",
}


class _World:
    """A server with one model of three versions; the third is broken."""

    def __init__(self, ctx: LabContext) -> None:
        self.ctx = ctx
        self.name = fresh_name(ctx, "digits")
        self.repository = ctx.scratch()
        self.folder = self.repository / self.name
        for number in (1, 2, 3):
            (self.folder / str(number)).mkdir(parents=True)
        self.files = {n: onnx_network(ctx, self.folder / str(n) / "model.onnx") for n in (1, 2)}
        (self.folder / "3" / "model.onnx").write_bytes(NOT_ONNX)
        # A student's function may delete the files: the check compares with copies.
        kept = ctx.scratch()
        self.copies = {n: Path(shutil.copy(file, kept / f"{n}.onnx")) for n, file in self.files.items()}
        self.server: Server = ctx.fresh_server(
            self.repository, options=["--model-control-mode=explicit", "--disable-auto-complete-config"]
        )

    def scores(self, version: int, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """What a version answers, by ONNX Runtime in this process: float32 `[n, 10]`."""
        return onnx_reference(self.copies[version], images)

    def ready(self, version: int) -> bool:
        """Whether a version is served now."""
        path = f"/v2/models/{self.name}/versions/{version}/ready"
        return http_get(self.server.endpoints.http, path).status_code == 200

    def answered(self) -> Counter[int]:
        """Requests answered so far, by version, in Triton's own statistics."""
        entries = http_get(self.server.endpoints.http, f"/v2/models/{self.name}/stats").json()["model_stats"]
        return Counter({int(e["version"]): int(e["inference_stats"]["success"]["count"]) for e in entries})


class _Visitor:
    """Asks whether the model is ready, all the time, from a thread of its own."""

    def __init__(self, address: str, model: str) -> None:
        self._url = f"http://{address}/v2/models/{model}/ready"
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.asked = self.refused = 0

    def _run(self) -> None:
        with httpx.Client(trust_env=False, timeout=10, verify=web.tls()) as client:
            while not self._end.is_set():
                self.asked += 1
                self.refused += client.get(self._url).status_code != 200
                time.sleep(0.002)

    def __enter__(self) -> _Visitor:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join(15)


def _serve(world: _World, function: Any, versions: list[int]) -> None:
    """Call the student's `serve_versions`, and judge policy, requests, folders and what is served."""
    config = _CONFIG.format(name=world.name)
    refusal: Refusal | None = None
    with world.ctx.recorder(world.server.endpoints.http) as recorder:
        try:
            world.ctx.call(
                function, recorder.address, world.repository, world.name, config, list(versions), timeout=60
            )
        except Refusal as error:
            refusal = error
            if error.verdict.evidence.get("error") == "NotImplementedError":
                raise
    gone = [n for n in (1, 2, 3) if not (world.folder / str(n) / "model.onnx").is_file()]
    if gone:
        refuse(
            expected="all version folders stay where they are",
            found=f"version {gone[0]} is gone from the repository",
            next_step="A rollback deletes nothing: the policy alone says what is served.",
        )
    if any(path.endswith("/unload") for path in recorder.paths):
        refuse(
            expected="the model answers all the time",
            found="it was unloaded: until it is loaded again, every client gets an error",
            next_step="A load alone is enough. Triton serves the old versions until the new ones are ready.",
        )
    written = (world.folder / "config.pbtxt").is_file()
    if not written and (refusal is None or "InferenceServerException" in refusal.verdict.found):
        refuse(
            expected=f"a file {world.name}/config.pbtxt in `repository`",
            found="it is not there",
            next_step='Write `config` and the policy to `repository / name / "config.pbtxt"`.',
        )
    if written:
        _judge_policy(world, versions)
    if refusal is not None:
        braces = "With an f-string or `format` a brace of the config is written twice: `{{`."
        with_hint(refusal, {"NameError|KeyError|ValueError": braces})
    if not any(path.endswith(f"/models/{world.name}/load") for path in recorder.paths):
        refuse(
            expected=f"Triton is asked to load `{world.name}` at the given address",
            found="the file is written, but nobody asked Triton to read it",
            next_step="In the mode `explicit` a config counts from the next `load_model(name)` on.",
        )
    end = time.monotonic() + 6  # Triton unloads in the background, in one to three seconds
    while (served := [n for n in (1, 2, 3) if world.ready(n)]) != versions and time.monotonic() < end:
        time.sleep(0.05)
    if served != versions:
        refuse(
            expected=f"Triton serves the versions {versions}",
            found=f"it serves {served}",
            next_step="`specific` takes a list of all versions that are to be served.",
        )


def _judge_policy(world: _World, versions: list[int]) -> None:
    """The policy in the config file, as a protobuf message."""
    try:
        config = read_config(world.folder)
    except LabError as error:
        # A file that Triton cannot read is judged by Triton's words, not by ours.
        words = load(world.server, world.name) or str(error)
        next_step = (
            "A policy reads `version_policy { specific { versions: [ … ] } }`; in an f-string each brace is "
            "written twice."
        )
        if "multiple times" in words:
            next_step = "Write `config` and one policy each time: the last call alone counts."
        refuse(expected="Triton can read the config", found=words, next_step=next_step)
    kind = config.version_policy.WhichOneof("policy_choice")
    advice = {
        None: "Without a policy Triton serves the highest version: here 3, the broken one.",
        "all": "`all` serves every folder that is there, version 3 too. Name them: `specific`.",
        "latest": "`latest` counts from the highest number, 3. Name them: `specific`.",
    }
    if kind in advice:
        refuse(
            expected=f"a policy for exactly the versions {versions}",
            found=f"the policy is {kind or 'missing'}",
            next_step=advice[kind],
        )
    found = sorted(config.version_policy.specific.versions)
    if found != versions:
        refuse(
            expected=f"a policy for exactly the versions {versions}",
            found=f"the policy names {found}",
            next_step="Use the argument `versions`.",
        )
    if config.max_batch_size != 64 or config.name != world.name:
        refuse(
            expected="the file holds `config` and a policy",
            found="`config` is not in it",
            next_step="Write both, one after the other.",
        )


def _ask(world: _World, function: Any, version: int | None, wanted: int) -> None:
    """Call the student's `ask_version`; the answer must be that of version `wanted`."""
    images, _ = world.ctx.digits(32)
    with world.ctx.recorder(world.server.endpoints.http) as recorder:
        arguments = (world.name, images) if version is None else (world.name, images, version)
        found = call_at(world.ctx, function, recorder, *arguments, hints=_HINTS)
    other = 3 - wanted
    if np.array_equal(np.asarray(found), world.scores(other, images).argmax(axis=1)):
        asked = f"version {version}" if version else "no version"
        refuse(
            expected=f"asked for {asked}, version {wanted} answers",
            found=f"version {other} answered; the request went to {recorder.paths[-1]}",
            next_step="Pass the version on: `model_version=…`."
            if version
            else "If `version` is None, leave the choice to Triton: an empty `model_version`.",
        )
    judge_digits("ask_version", found, world.scores(wanted, images))


def _judge_traffic(world: _World, ask: Any, choose: Any) -> dict[str, int]:
    """Twenty clients ask the version that is chosen for them; Triton's statistics must agree."""
    images, _ = world.ctx.digits(3)
    before, sent = world.answered(), Counter({1: 0, 2: 0})
    for number in range(20):
        version = world.ctx.call(choose, f"{world.name}-{number}", 0.5)
        world.ctx.call(ask, world.server.endpoints.http, world.name, images, version)
        sent[version] += 1
    end = time.monotonic() + 2  # a python-based backend counts after it has answered
    while (found := world.answered() - before) != +sent and time.monotonic() < end:
        time.sleep(0.05)
    if found != +sent:
        refuse(
            expected=f"Triton counts the requests by version: {dict(sent)}",
            found=f"it counts {dict(found)}",
            next_step="Send all images in one request, to the version that is asked for.",
        )
    return {str(version): count for version, count in sorted(found.items())}


@checkpoint(
    "2.4", title="Versions: A/B test and rollback", points=4, minutes=8, difficulty=3,
    answers=("serve_versions", "ask_version", "choose_version"), needs_server=False,
)  # fmt: skip
def check_versions(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Two versions are served, asked for and counted; then the second is taken back under load."""
    judge_split(ctx, answers["choose_version"])
    world = _World(ctx)
    _serve(world, answers["serve_versions"], [1, 2])
    for version, wanted in ((1, 1), (2, 2), (None, 2)):
        _ask(world, answers["ask_version"], version, wanted)
    counted = _judge_traffic(world, answers["ask_version"], answers["choose_version"])
    with _Visitor(world.server.endpoints.http, world.name) as visitor:
        _serve(world, answers["serve_versions"], [1])
    if visitor.refused:
        refuse(
            expected="the model answers all the time while it is rolled back",
            found=f"{visitor.refused} of {visitor.asked} visitors found it not ready",
            next_step="One load, and nothing before it: Triton keeps the old versions until then.",
        )
    _ask(world, answers["ask_version"], None, 1)
    return passed(
        "two versions were served, split by client, and rolled back without a gap",
        model=world.name,
        answered=counted,
        visitors_during_rollback=visitor.asked,
        address=world.server.endpoints.http,
    )
