"""Rules about the folders and files of a model."""

from __future__ import annotations

import difflib
import re

from lab_utils.repository.files import GUESSED_FILES as FILES
from lab_utils.repository.kinds import FileKind, kind_of
from lab_utils.repository.lint.facts import ServerFacts
from lab_utils.repository.lint.model import Model
from lab_utils.repository.lint.registry import ERROR, WARNING, Hit, Hits, rule
from lab_utils.repository.signature import describe_kind

GROUP = "Folders and files"
PHANTOMS = re.compile(r"\..*|__pycache__")


@rule(
    "phantom-model",
    ERROR,
    "A hidden folder beside the models: Triton takes it for one.",
    group=GROUP,
    whole=False,
)
def phantom_model(model: Model, facts: ServerFacts) -> Hits:
    """Jupyter's `.ipynb_checkpoints` is the usual one. In explicit mode it only stands in the index."""
    if PHANTOMS.fullmatch(model.name):
        yield Hit(
            f"Triton takes the folder `{model.name}` for a model, and cannot load it; unless models are "
            "loaded one by one (explicit mode), the server is then never wholly ready.",
            "Delete the folder, or keep notebooks outside the model repository.",
        )


@rule("no-version", ERROR, "No version folder: none named 1, 2, 3 and so on.", group=GROUP, whole=False)
def no_version(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `at least one version must be available under the version policy of model 'x'`."""
    versions = model.versions
    if versions.numbers or versions.fatal:
        return
    look_alike = [n for n in versions.ignored if re.search(r"\d", n)]
    loose = [f for f in FILES.values() if (model.folder / f).exists()]
    why, fix = "", f"Make the folder {model.name}/1 and put the model file into it."
    if look_alike:
        name = look_alike[0]
        number = int(re.sub(r"\D", "", name))
        why = f" `{name}` is not one: {_REASONS[versions.ignored[name]]}."
        fix = f"Rename `{name}` to `{number or 1}`."
    elif loose:
        why = f" {loose[0]} lies beside it, where Triton does not look."
        fix = f"Move it to {model.name}/1/{loose[0]}."
    elif model.ensemble:
        why, fix = (
            " An ensemble needs one too, though nothing is in it.",
            f"Make an empty folder {model.name}/1.",
        )
    yield Hit(f"The model has no version folder.{why}", fix)


_REASONS = {
    "leading zero": "Triton ignores a number that begins with 0",
    "no number": "a version is a number and nothing else",
}


@rule(
    "version-ignored",
    WARNING,
    "A folder that looks like a version and is ignored: `02`, `v2`.",
    group=GROUP,
    whole=False,
)
def version_ignored(model: Model, facts: ServerFacts) -> Hits:
    """One line in the log, and the version is not there."""
    for name, reason in model.versions.ignored.items():
        if model.versions.numbers and re.fullmatch(r"0+\d*|[vV](er(sion)?)?[_.-]?\d+", name):
            yield Hit(
                f"The folder `{name}` is no version for Triton: {_REASONS[reason]}.",
                f"Rename it to `{int(re.sub(r'[^0-9]', '', name)) or 1}`, or remove it.",
                file=name,
            )


@rule(
    "version-misread",
    ERROR,
    "A version folder such as `1a` or `1.5`, that Triton reads as 1.",
    group=GROUP,
    whole=False,
)
def version_misread(model: Model, facts: ServerFacts) -> Hits:
    """Triton reads the digits in front, then looks for the files in a folder of that number."""
    for number, name in model.served.items():
        if name != str(number) and not (model.folder / str(number)).is_dir():
            yield Hit(
                f"Triton reads `{name}` as version {number} and looks for its files in `{number}/`.",
                "Rename the folder to a plain number.",
                file=name,
            )


@rule(
    "version-crash", ERROR, "A version number beyond 64 bits: it ends the server.", group=GROUP, whole=False
)
def version_crash(model: Model, facts: ServerFacts) -> Hits:
    """Tried: `std::out_of_range`, not caught."""
    for name in model.versions.fatal:
        yield Hit(
            f"The number `{name}` is too large: reading it ends tritonserver.",
            "Use a small number.",
            file=name,
        )


@rule(
    "policy-empty", ERROR, "A version policy that selects none of the versions that are there.", group=GROUP
)
def policy_empty(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `at least one version must be available under the version policy of model 'x'`."""
    if model.versions.numbers and not model.served:
        there = ", ".join(map(str, sorted(model.versions.numbers)))
        choice = model.config.version_policy.WhichOneof("policy_choice")
        why = "latest with `num_versions` 0 serves nothing" if choice == "latest" else "it names none of them"
        yield Hit(
            f"The version policy serves no version: {why}. There: {there}.",
            f"Write `version_policy {{ specific {{ versions: [ {there} ] }} }}` or leave it out for "
            "the latest.",
            "version_policy",
        )


@rule("policy-absent", WARNING, "A version policy that also names versions that are not there.", group=GROUP)
def policy_absent(model: Model, facts: ServerFacts) -> Hits:
    """One line in the log; the others are served."""
    absent = [v for v in model.config.version_policy.specific.versions if v not in model.versions.numbers]
    if absent and model.served:
        yield Hit(
            f"The version policy names {', '.join(map(str, absent))}, and there is no such version folder.",
            "Add the version, or take its number out.",
            "version_policy.specific.versions",
        )


def _near(model: Model, version: int) -> str:
    """What stands in the version folder in place of the model file."""
    folder = model.folder / str(version)
    there = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    return f"it holds {', '.join(there[:6])}" if there else "it is empty"


@rule(
    "model-file-missing",
    ERROR,
    "A served version without the file that its backend opens.",
    group=GROUP,
    whole=False,
)
def model_file_missing(model: Model, facts: ServerFacts) -> Hits:
    """For the python backend the load then never ends (tried: no answer within minutes)."""
    if model.ensemble or not model.backend.file or any("file" in fault.what for fault in model.faults):
        return
    for version in model.served:
        path = model.files.get(version)
        if path is not None and not (path.is_dir() and model.backend.name == "python"):
            continue
        folder = model.folder / str(version)
        there = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        hangs = " The load of such a Python model never ends." if model.backend.name == "python" else ""
        wanted, field = model.backend.file, "default_model_filename"
        stem = difflib.get_close_matches(wanted.lower(), [n.lower() for n in there], n=1, cutoff=0.5)
        same_end = [n for n in there if n.rsplit(".", 1)[-1] == wanted.rsplit(".", 1)[-1]]
        guess = next((n for n in there if stem and n.lower() == stem[0]), same_end[0] if same_end else "")
        if (model.folder / wanted).is_file():
            fix = f"Move {model.name}/{wanted} into {model.name}/{version}/."
        elif guess:
            fix = f'Rename {guess} to {wanted}, or write `default_model_filename: "{guess}"`.'
        else:
            fix = f"Put the model file there: {model.name}/{version}/{wanted}."
        yield Hit(
            f"Version {version} has no file {wanted}: {_near(model, version)}.{hangs}",
            fix,
            field if model.config.default_model_filename else "",
            file=None if model.config.default_model_filename else str(version),
        )


_NEVER = (FileKind.EMPTY, FileKind.LFS_POINTER, FileKind.HTML)


@rule(
    "model-file-empty",
    ERROR,
    "A model file that is empty, a Git LFS pointer or a web page.",
    group=GROUP,
    whole=False,
)
def model_file_empty(model: Model, facts: ServerFacts) -> Hits:
    """Whatever the backend."""
    for version, path in model.files.items():
        kind = kind_of(path) if path.is_file() else FileKind.FOLDER
        if kind in _NEVER and model.backend.name != "ensemble":
            yield Hit(
                f"{path.name} of version {version} is no model: {describe_kind(kind)}",
                "Run `git lfs pull`." if kind is FileKind.LFS_POINTER else "Put the real file there.",
                file=str(path.relative_to(model.folder)),
            )


@rule(
    "label-file-missing",
    ERROR,
    "`label_filename` names a file that is not beside config.pbtxt.",
    group=GROUP,
    whole=False,
)
def label_file_missing(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `failed to open text file for read .../labels.txt`."""
    for index, output in enumerate(model.config.output):
        name = output.label_filename
        if name and not (model.folder / name).is_file():
            elsewhere = [v for v in model.versions.numbers.values() if (model.folder / v / name).is_file()]
            fix = (
                f"Move it out of the version folder, to {model.name}/{name}."
                if elsewhere
                else "Add the file."
            )
            yield Hit(
                f"The labels file `{name}` of output `{output.name}` is not in the model's folder.",
                fix,
                f"output[{index}].label_filename",
            )
