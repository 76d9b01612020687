"""`triton-lab catch-up`: begin a lab without having finished the earlier ones.

No lab uses an answer of an earlier one: its folder, its server and its models are its own. So nothing has to
be solved first. What an earlier lab leaves behind are models that were built, programs that were fetched, and
ideas. The first two are made here and tried; the ideas are listed as the earlier labs sum them up.
"""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab_utils import server as triton
from lab_utils.doctor import Status
from lab_utils.errors import LabError
from lab_utils.notebooks.copies import find_lab, make_copies
from lab_utils.notebooks.read import read_notebook
from lab_utils.paths import project_root, work_dir
from lab_utils.progress.labs import LABS, LabSpec, lab_spec
from lab_utils.progress.repository import copy_models
from lab_utils.progress.store import ProgressStore

_PROMETHEUS = ("04",)
_LLAMA = ("03", "04")


@dataclass(frozen=True)
class Step:
    """One thing that the lab needs.

    Attributes:
        status: PASS: it is there. WARN: a part of the lab will miss it. FAIL: the lab cannot begin.
        name: What it is.
        detail: What was found or made.
        fix: What to do about it. Empty for PASS.
    """

    status: Status
    name: str
    detail: str
    fix: str = ""


@dataclass(frozen=True)
class Lesson:
    """What an earlier lab taught.

    Attributes:
        lab: Its number.
        title: Its title.
        notebook: Its notebook's file name.
        learned: The points of its section "What you learned".
        passed: How many of its exercises the student has passed.
        open: Ids of the others.
    """

    lab: str
    title: str
    notebook: str
    learned: tuple[str, ...]
    passed: int
    open: tuple[str, ...]


@dataclass(frozen=True)
class CatchUp:
    """What a student needs to begin a lab.

    Attributes:
        lab: The lab's number.
        title: Its title.
        notebook: The student's copy of it.
        steps: What it needs on this machine.
        lessons: What it builds on, from the earlier labs.
    """

    lab: str
    title: str
    notebook: Path
    steps: tuple[Step, ...]
    lessons: tuple[Lesson, ...]

    @property
    def ready(self) -> bool:
        """True when the lab can begin."""
        return all(step.status is not Status.FAIL for step in self.steps)

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {**asdict(self), "notebook": str(self.notebook), "ready": self.ready}


def catch_up(lab: str | int, *, llama: bool = False) -> CatchUp:
    """Prepare a lab, try its server, and say what it builds on. The student's work stays as it is.

    Args:
        lab: The lab to begin.
        llama: Train the small Llama now, if the lab uses it and it is not there.

    Raises:
        LabError: There is no such lab, or the notebooks cannot be copied.
    """
    spec = lab_spec(lab)
    make_copies()
    steps = [_packages(spec)]
    steps += _models(spec)
    if spec.number in _LLAMA and steps[0].status is Status.PASS:
        steps.append(_llama(llama))
    if spec.number in _PROMETHEUS:
        steps.append(_prometheus())
    if all(step.status is not Status.FAIL for step in steps):
        steps.append(_server(spec))
    notebook = work_dir() / f"{spec.notebook}.ipynb"
    return CatchUp(spec.number, spec.title, notebook, tuple(steps), tuple(map(_lesson, needed(spec))))


def needed(spec: LabSpec) -> list[LabSpec]:
    """The earlier labs that a lab builds on: those that the table on its first page names, else all."""
    for cell in read_notebook(find_lab(spec.number)).cells[:2]:
        row = re.search(r"^\| You need \|(.*)\|$", cell.source, re.MULTILINE)
        labs = re.search(r"\bLabs? (\d(?:(?:, | and )\d)*)", row[1]) if row else None
        if labs:
            return [LABS[f"{int(number):02d}"] for number in re.findall(r"\d", labs[1])]
    return [one for one in LABS.values() if int(one.number) < int(spec.number)]


def _packages(spec: LabSpec) -> Step:
    try:
        spec.require_packages()
    except LabError as error:
        return Step(Status.FAIL, "packages", error.what, error.fix)
    return Step(Status.PASS, "packages", "all that the lab imports is installed")


def _models(spec: LabSpec) -> list[Step]:
    """Build and copy the lab's models. A model folder that is there already is the student's."""
    repository = work_dir() / f"lab{spec.number}" / "model_repository"
    kept = [name for name in spec.models if (repository / name).exists()]
    try:
        copied = copy_models(spec.models, repository)
    except LabError as error:
        return [Step(Status.FAIL, "models", error.what, error.fix or error.why)]
    said = [f"new: {', '.join(copied)}"] if copied else []
    said += [f"yours, left as they are: {', '.join(kept)}"] if kept else []
    return [Step(Status.PASS, "models", "; ".join(said) or "the lab needs none")]


def _llama(train: bool) -> Step:
    """The small Llama is trained once; the lab would do so when it first needs it."""
    if (project_root() / "model_repository" / "llama_logits" / "1" / "model.pt").exists():
        return Step(Status.PASS, "small Llama", "trained")
    try:
        LABS["03"].require_packages()
        if train:
            from lab_utils.llama.export import build_logits
            from lab_utils.llama.small import small_llama

            with contextlib.redirect_stdout(io.StringIO()):
                folder = small_llama()
                build_logits(model="small")
            return Step(Status.PASS, "small Llama", f"trained, in {folder}")
    except LabError as error:
        return Step(Status.WARN, "small Llama", error.what, error.fix)
    return Step(
        Status.WARN,
        "small Llama",
        "not trained yet: the lab does it when it first needs it, which takes half a minute or more",
        "To have it now: triton-lab models build --llama",
    )


def _prometheus() -> Step:
    from lab_utils.monitoring.tools import SETTINGS, MonitoringError, find_tool, how_to_get

    missing = []
    for name in SETTINGS:
        try:
            find_tool(name)
        except MonitoringError:
            missing.append(name)
    if missing:
        text = f"not found: {', '.join(missing)}. The steps that need it answer SKIP; all else works"
        return Step(Status.WARN, "Prometheus", text, how_to_get())
    return Step(Status.PASS, "Prometheus", "Prometheus and Alertmanager are there")


def _server(spec: LabSpec) -> Step:
    """Start a server with the lab's models, see them ready, and stop it."""
    if triton.find(f"lab{spec.number}") is not None:
        return Step(Status.PASS, "server", f"lab {spec.number}'s server runs already, and was left alone")
    repository = work_dir() / f"lab{spec.number}" / "model_repository"
    name, models = f"lab{spec.number}-catch-up", ", ".join(spec.models)
    options = ["--model-control-mode=explicit", *(f"--load-model={model}" for model in spec.models)]
    try:
        server = triton.start(
            repository, name=name, lifetime="kernel", wait_for=list(spec.models), options=options
        )
        if server.runtime == "remote":
            return Step(Status.PASS, "server", f"the server at {server.endpoints.http} serves {models}")
    except LabError as error:
        fix = error.fix or "triton-lab doctor"
        return Step(Status.FAIL, "server", f"the lab's models could not be served: {error.what}", fix)
    finally:
        left = triton.find(name)  # also one that runs without the model that was waited for
        if left is not None:
            left.stop()
    return Step(Status.PASS, "server", f"a Triton was started with {models}, and stopped again")


def _lesson(spec: LabSpec) -> Lesson:
    entries = ProgressStore().entries()
    ids = [one.id for one in spec.checkpoints()]
    done = [id for id in ids if id in entries and entries[id].verdict.passed]
    return Lesson(
        spec.number,
        spec.title,
        f"{spec.notebook}.ipynb",
        tuple(learned(spec)),
        len(done),
        tuple(id for id in ids if id not in done),
    )


def learned(spec: LabSpec) -> list[str]:
    """The points of a lab's section "What you learned", as the handed-out notebook has them."""
    for cell in read_notebook(find_lab(spec.number)).cells:
        found = re.search(r"^## What you learned\n(.*?)(?=^## |\Z)", cell.source, re.MULTILINE | re.DOTALL)
        if found:
            points = re.findall(r"^- (.+(?:\n  .+)*)", found[1], re.MULTILINE)
            return [" ".join(point.split()) for point in points]
    return []
