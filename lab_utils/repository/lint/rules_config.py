"""Rules about config.pbtxt as a text: what the parser refuses, names, and where the file lies."""

from __future__ import annotations

import re
from collections.abc import Callable

from lab_utils.repository.config import CONFIG_NAME
from lab_utils.repository.errors import ConfigError
from lab_utils.repository.lint.facts import ServerFacts
from lab_utils.repository.lint.model import Model, type_name
from lab_utils.repository.lint.registry import ERROR, WARNING, Check, Hit, Hits, rule

GROUP = "The file config.pbtxt"
_PYTHON = re.compile(r"from \w[\w.]* import |import \w|def \w+\(|class \w+[(:]|@\w")
_YAML = re.compile(r"---\s*$|%YAML|apiVersion:")
_SHELL = re.compile(r"""[\s'"`$&;|<>()*?!\\#]""")


def _faults(rule_id: str, wanted: Callable[[ConfigError], bool]) -> Check:
    """A rule's function: every fault of the parser that is of this kind."""

    def check(model: Model, facts: ServerFacts) -> Hits:
        templates = {f.line for f in model.faults if _is_template(model.text, f)}
        for index, fault in enumerate(model.faults):
            if wanted(fault):
                if any(f.line == fault.line in templates for f in model.faults[:index]):
                    continue  # what follows a placeholder on its line follows from it
                said = f" (Triton: {fault.log_line})" if fault.log_line else ""
                yield Hit(fault.what.rstrip() + said, fault.fix, line=fault.line or None, file=CONFIG_NAME)

    check.__name__ = rule_id.replace("-", "_")
    return check


def _is_template(text: str, fault: ConfigError) -> bool:
    """Whether the parser stopped at a placeholder, `${name}`."""
    return text.split("\n")[max(fault.line, 1) - 1][fault.column - 1 :].startswith("${")


for _id, _problem, _meaning in (
    ("config-unknown-field", "unknown_field", "A field that Triton does not have, mostly misspelt."),
    ("config-newer-field", "newer_field", "A field that only a newer Triton has."),
    (
        "config-unknown-value",
        "unknown_value",
        "A value that the field does not have, for example `TYPE_FLOAT32`.",
    ),
    (
        "config-wrong-type",
        "wrong_type",
        "A value of the wrong kind, for example a text where a number stands.",
    ),
    ("config-out-of-range", "out_of_range", "A number too large or too small for its field."),
    (
        "config-two-of-one",
        "two_of_one",
        "Two fields of which only one may stand, such as `dynamic_batching` and `sequence_batching`.",
    ),
    ("config-duplicate-field", "duplicate_field", "A field twice that may stand once."),
    ("config-syntax", "syntax", "Text that is no protobuf text: a missing bracket, quote or colon."),
    ("config-unclosed", "unclosed", "A block, a list or a text that is opened and never closed."),
    ("config-encoding", "encoding", "A file that is not UTF-8 text."),
):
    rule(_id, ERROR, _meaning, group=GROUP, whole=False)(
        _faults(_id, lambda f, problem=_problem: f.problem == problem)  # type: ignore[misc]
    )


@rule("config-unreadable", ERROR, "config.pbtxt is a folder, or cannot be read.", group=GROUP, whole=False)
def config_unreadable(model: Model, facts: ServerFacts) -> Hits:
    """Tried: with a folder of that name tritonserver ends with an uncaught exception."""
    if model.config_path.is_dir():
        yield Hit("config.pbtxt is a folder. Loading such a model ends tritonserver.", "Make it a file.")
    elif model.unreadable is not None:
        yield Hit(
            f"{model.unreadable.what} {model.unreadable.why}".strip(),
            "Let the user that runs tritonserver read the file.",
            line=None,
            file=CONFIG_NAME,
        )


@rule("name-differs", ERROR, "`name` is not the name of the model's folder.", group=GROUP, whole=False)
def name_differs(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `unexpected directory name 'a' for model 'b', directory name must equal model name`."""
    if model.config.name and model.config.name != model.name:
        yield Hit(
            f"The folder is called `{model.name}` and the config says `{model.config.name}`.",
            f'Write `name: "{model.name}"`, leave the line out, or rename the folder.',
            "name",
        )


@rule("enum-number", WARNING, "A number in place of a `data_type`, that names no type.", group=GROUP)
def enum_number(model: Model, facts: ServerFacts) -> Hits:
    """Protobuf takes any number for an enum; every request then fails."""
    for side in ("input", "output"):
        for index, entry in enumerate(getattr(model.config, side)):
            if type_name(entry.data_type).isdigit():
                yield Hit(
                    f"{entry.data_type} is the number of no data type: every request with it is refused.",
                    "Write the name of the type, for example TYPE_FP32.",
                    f"{side}[{index}].data_type",
                )


@rule(
    "config-not-read",
    WARNING,
    "A config that Triton does not read: in a version folder, under another name, or in `configs/`.",
    group=GROUP,
    whole=False,
)
def config_not_read(model: Model, facts: ServerFacts) -> Hits:
    """Triton reads `MODEL/config.pbtxt` and, with `--model-config-name=x`, `MODEL/configs/x.pbtxt`."""
    folder = model.folder
    for name in model.versions.numbers.values():
        if (folder / name / CONFIG_NAME).is_file():
            yield Hit(
                f"The config in the version folder `{name}` is not read."
                + ("" if model.has_config else " Triton serves the model without it."),
                f"Put it beside the version folder: {model.name}/{CONFIG_NAME}.",
                file=f"{name}/{CONFIG_NAME}",
            )
    if model.has_config:
        return
    for path in sorted(folder.iterdir()):
        alike = path.name.lower().startswith("config.p") or path.name.lower() in ("config.txt", "config")
        if path.is_file() and (alike or path.suffix == ".pbtxt"):
            yield Hit(
                f"The file {path.name} is not read: the name must be exactly {CONFIG_NAME}.",
                f"Rename it to {CONFIG_NAME}.",
                file=path.name,
            )
    custom = sorted((folder / "configs").glob("*.pbtxt")) if (folder / "configs").is_dir() else []
    if custom and not facts.config_name:
        yield Hit(
            f"The configs in `configs/` ({', '.join(p.stem for p in custom)}) are read only with "
            "`--model-config-name`, and there is no config.pbtxt beside them.",
            f"Start the server with `--model-config-name={custom[0].stem}`, or add a config.pbtxt.",
            file=f"configs/{custom[0].name}",
        )


@rule(
    "name-shell",
    ERROR,
    "A folder name with a space or a sign of the shell, for a model that runs in a Python process.",
    group=GROUP,
    whole=False,
)
def name_shell(model: Model, facts: ServerFacts) -> Hits:
    """Tried: Triton starts the process with an unquoted path, and the load never ends."""
    if (model.in_python or model.backend.name == "python") and _SHELL.search(model.name):
        yield Hit(
            f"The load of `{model.name}` never ends: Triton starts the model's Python process through a "
            "shell, and does not quote the name.",
            "Rename the folder: letters, digits, `_`, `-` and `.` are safe.",
        )


@rule(
    "name-odd",
    WARNING,
    "A model name with a space or a letter that does not go into a URL.",
    group=GROUP,
    whole=False,
)
def name_odd(model: Model, facts: ServerFacts) -> Hits:
    """Tried: the HTTP front end does not decode `%20`, so `my model` cannot be asked for over HTTP."""
    told = (model.in_python or model.backend.name == "python") and _SHELL.search(model.name)
    if not told and not re.fullmatch(r"[A-Za-z0-9._~+-]+", model.name):
        yield Hit(
            f"Over HTTP nobody can name the model `{model.name}`: Triton does not decode %-codes in a URL.",
            "Rename the folder: letters, digits, `_`, `-` and `.` are safe.",
        )


def _first_line(text: str) -> str:
    """The first line that is no comment and not blank."""
    lines = (line.strip() for line in text.splitlines())
    return next((line for line in lines if line and not line.startswith("#")), "")


@rule(
    "not-a-config",
    ERROR,
    "config.pbtxt holds a web page, a Git LFS pointer, Python code or YAML.",
    group=GROUP,
    whole=False,
)
def not_a_config(model: Model, facts: ServerFacts) -> Hits:
    """The parser's own message does not say so."""
    head = model.text.lstrip()[:200]
    what = fix = ""
    if head.startswith("version https://git-lfs"):
        what, fix = "a Git LFS pointer, not the file itself", "Run `git lfs pull`."
    elif head.lower().startswith(("<!doctype", "<html")):
        what, fix = "a web page, saved in place of the file", "Fetch the raw file."
    elif _PYTHON.match(_first_line(model.text)):
        what, fix = "Python code", "Move it to a .py file, and write the config in protobuf text."
    elif _YAML.match(_first_line(model.text)):
        what, fix = "YAML", 'Write it in protobuf text: `name: "x"`, blocks in `{ }`, lists in `[ ]`.'
    if what:
        yield Hit(f"config.pbtxt is {what}.", fix, line=1, file=CONFIG_NAME)
