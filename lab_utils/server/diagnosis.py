"""From a log to the decisive line, its cause and the mend.

One table of rules: a pattern of Triton's own words, the cause in a sentence, what to do. A rule's
texts may use the named groups of its pattern. The first matching rule of the table wins for a line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import httpx

from lab_utils.server import ports, probe
from lab_utils.server.base import Endpoints, ServerError


@dataclass(frozen=True)
class Finding:
    """One understood log line: the line itself, the cause, the next step."""

    line: str
    cause: str
    fix: str


@dataclass(frozen=True)
class Rule:
    """One known fault: pattern of the log line, cause, mend."""

    pattern: re.Pattern[str]
    cause: str
    fix: str


def _rule(pattern: str, cause: str, fix: str) -> Rule:
    return Rule(re.compile(pattern), cause, fix)


RULES = (
    _rule(
        r"^Bad option: \"--(?P<option>[^\"]+)\"|invalid argument for --(?P<option2>\S+)",
        "The value given to `--{option}{option2}` is not one that tritonserver accepts.",
        "`tritonserver --help` lists the values that `--{option}{option2}` takes.",
    ),
    _rule(
        r"Socket '[^']*?(?P<port>\d+)' already in use",
        "Port {port} is taken: two programs cannot listen on one port.",
        "Leave the port options out (free ports are then chosen), or end the program that holds port {port}.",
    ),
    _rule(
        r"error while loading shared libraries: (?P<library>\S+):",
        "The shared library {library} is not on this machine.",
        "Install the package that holds it, for example `apt install libpython3.11`.",
    ),
    _rule(
        r"(?P<version>GLIBC_[\d.]+)' not found",
        "This system's C library is too old: the server needs {version}.",
        "Use a newer system (Debian 12, Ubuntu 22.04 or later) or the docker runtime.",
    ),
    _rule(
        r"failed to stat file (?P<path>\S+)|directory does not exist.*?(?P<path2>/\S+)",
        "A file or folder that the server was told to read is not there: {path}{path2}.",
        "Check the path in the options, and that this user may read it.",
    ),
    _rule(
        r"Error parsing text-format \S+: (?P<line>\d+):(?P<column>\d+): (?P<message>.+)",
        "config.pbtxt is not valid at line {line}, column {column}: {message}",
        "Correct that line of config.pbtxt and load the model again.",
    ),
    _rule(
        r"unable to find (?:backend library|'?libtriton_\w+\.so'?)",
        "No backend of that name is installed in this server.",
        "Check `platform:` or `backend:` in config.pbtxt. This server has onnxruntime, pytorch and python.",
    ),
    _rule(
        r"unexpected platform type '?(?P<platform>[^' ]*)'? for (?P<model>\S+)",
        '`platform: "{platform}"` names no platform that Triton knows.',
        'Write `platform: "onnxruntime_onnx"` or `platform: "pytorch_libtorch"`, or use `backend:`.',
    ),
    _rule(
        r"must specify '?(?:platform|backend)",
        "config.pbtxt names neither a platform nor a backend, and none can be derived.",
        'Add `platform: "onnxruntime_onnx"` for model.onnx, `platform: "pytorch_libtorch"` for model.pt.',
    ),
    _rule(
        r"model input must specify 'dims' for (?P<model>\S+)|model (?:in|out)put must specify 'dims'",
        "An input or output in config.pbtxt has no `dims`.",
        "Add `dims: [ ... ]` without the batch dimension.",
    ),
    _rule(
        r"at least one version must be available under the version policy of model '(?P<model>[^']+)'",
        "The model `{model}` has no version folder: Triton looks for folders named 1, 2, 3 ...",
        "Put the model file into `{model}/1/`.",
    ),
    _rule(
        r"(?P<model>\S+) has no model version|no version is available",
        "The model has no version that its version policy selects.",
        "Make a version folder (`1/`) with the model file in it, or correct `version_policy`.",
    ),
    _rule(
        r"Model file not found|model file (?P<path>\S+) (?:is missing|does not exist)"
        r"|No such file or directory: '?(?P<path2>[^' ]+model\.\w+)",
        "The model file is not where the config says: {path}{path2}.",
        "Put it into the version folder under its default name (model.onnx, model.pt, model.py).",
    ),
    _rule(
        r"group \S+ of model \S+ (?:has kind KIND_GPU|specifies invalid)",
        "The instance group asks for a GPU and the server sees none.",
        "Write `instance_group [ { kind: KIND_CPU } ]`.",
    ),
    _rule(
        r"Stub process '(?P<stub>[^']+)' is not healthy",
        "The Python process (stub) that runs the model died. Triton does not start it again.",
        "Unload and load the model, or restart the server: `lab.start()` sees it and does so.",
    ),
    _rule(
        r"Failed to initialize Python stub[^:]*: (?P<message>.+)",
        "The model's Python code raised an error while it was loaded: {message}",
        "Correct the model or its config, then load it again.",
    ),
    _rule(
        r"(?P<message>(?:ModuleNotFoundError|ImportError): .+)",
        "The model's Python process could not import a module: {message}",
        "Install it in this environment, and start the server again.",
    ),
    _rule(
        r"boost::interprocess::lock_exception",
        "The Python backend of this release met a race while it started its processes.",
        "Start the server again.",
    ),
    _rule(
        r"(?:std::bad_alloc|Out of memory|Cannot allocate memory)",
        "The server ran out of memory.",
        "Load fewer models or instances, or send smaller requests.",
    ),
    _rule(
        r"failed to load '(?P<model>[^']+)' version (?P<version>\d+): (?P<message>.+)",
        "The model `{model}` (version {version}) failed to load: {message}",
        "Correct what the message names, then load the model again.",
    ),
    _rule(
        r"Poll failed for model directory '(?P<model>[^']+)': (?P<message>.+)",
        "Triton refused the model `{model}`: {message}",
        "Correct what the message names, then load the model again.",
    ),
)

_DECISIVE = re.compile(
    r"^E\d{4}|libprotobuf ERROR|error while loading|not found \(required|terminate called|what\(\):|Signal \("
    r"|Traceback|^error:|^\w*Error: |^Bad option|^invalid argument for|^Invalid option value|^tritonserver: "
)
_HARMLESS = ("cuda", "nvml", "dcgm", "pinned memory", "pinned_memory", "gpu metrics")


def _match(line: str) -> Finding | None:
    for rule in RULES:
        found = rule.pattern.search(line)
        if found:
            groups = {k: v or "" for k, v in found.groupdict().items()}
            return Finding(line.strip(), rule.cause.format(**groups), rule.fix.format(**groups))
    return None


def decisive_lines(log: str) -> list[str]:
    """The lines of a log that report an error, in order, without what is normal on a CPU machine."""
    lines = [line for line in log.splitlines() if _DECISIVE.search(line)]
    return [line for line in lines if not any(word in line.lower() for word in _HARMLESS)]


def diagnose(log: str) -> list[Finding]:
    """Every decisive line that a rule understands, in the order of the log."""
    return [f for line in decisive_lines(log) if (f := _match(line))]


def first_cause(log: str) -> Finding | None:
    """The first understood error: later ones mostly follow from it."""
    findings = diagnose(log)
    return findings[0] if findings else None


def excerpt(log: str, path: Path | None = None, *, at_most: int = 12) -> str:
    """The decisive lines of a log, else its end, with the place of the whole log."""
    lines = decisive_lines(log)
    heading = "Decisive lines of the log:" if lines else "The end of the log (no line reports an error):"
    lines = lines[:at_most] or log.splitlines()[-at_most:]
    where = [f"Whole log: {path}"] if path else []
    return "\n".join([heading, *(f"  {line}" for line in lines), *where])


def ports_taken(log: str) -> list[int]:
    """The ports that this log says are in use already."""
    return [int(p) for p in re.findall(r"Socket '[^']*?(\d+)' already in use", log)]


def start_race(log: str) -> bool:
    """True when the server met a race of its own Python backend while it started; a second try helps."""
    return "boost::interprocess::lock_exception" in log


def missing_library(libraries: list[str]) -> Finding:
    """The finding for shared libraries that `ldd` does not find."""
    names = ", ".join(libraries)
    package = next((f"lib{n[3:].split('.so')[0]}" for n in libraries if n.startswith("libpython")), "")
    return Finding(
        names,
        f"Shared libraries are missing on this machine: {names}.",
        f"Install them, for example `apt install {package}`." if package else "See `triton-lab doctor`.",
    )


def about_model(log: str, model: str) -> list[str]:
    """The decisive lines about one model, each parser error with the line that says whose config it was."""
    lines = decisive_lines(log)
    about: list[str] = []
    for number, line in enumerate(lines):
        # The whole name only: `mlp` must not take the lines of `mnist_mlp`.
        if re.search(rf"(?<![\w-]){re.escape(model)}(?![\w-])", line):
            if number and "libprotobuf" in lines[number - 1]:
                about.append(lines[number - 1])
            about.append(line)
    return about


def load_failure(endpoints: Endpoints, model: str, log: str) -> ServerError | None:
    """The error for a model that could not be loaded; None while it may still be loading.

    The repository index often holds no reason (a config that cannot be parsed); then the log does.
    """
    try:
        entries = [e for e in probe.repository_index(endpoints) if e.get("name") == model]
    except httpx.HTTPError:
        return None
    if any(e.get("state") in ("LOADING", "READY") for e in entries):
        return None
    about = about_model(log, model)
    reasons = [str(e["reason"]) for e in entries if e.get("reason") not in ("", None, "unloaded")]
    finding = next((f for text in [*reasons, *about] if (f := _match(text))), None)
    details = "\n".join([*(f"Triton says: {r}" for r in reasons), *about])
    if not entries:
        return ServerError(
            f"The server knows no model `{model}`.",
            why=finding.cause if finding else "The model repository holds no folder of that name.",
            fix=finding.fix if finding else "Look at the folder names in the repository; names are exact.",
            details=details,
        )
    if not reasons and not about:
        return ServerError(
            f"The model `{model}` is not loaded.",
            why="It is in the repository, and nobody asked the server to load it (explicit model control).",
            fix=f"Load it: `POST /v2/repository/models/{model}/load`, or start with `--load-model={model}`.",
        )
    return ServerError(
        f"The model `{model}` could not be loaded.",
        why=finding.cause if finding else f"Triton says: {(reasons or about)[0]}",
        fix=finding.fix if finding else "Correct what Triton names, then load the model again.",
        details=details,
    )


def after_death(log: str, signal_number: int | None) -> Finding | None:
    """Why a server that was running is gone, as far as the log and the signal tell."""
    crash = any(word in log for word in ("Signal (11)", "Signal (6)", "std::bad_alloc", "terminate called"))
    if crash or signal_number in (6, 11):
        return Finding(
            "",
            "tritonserver crashed. Two kinds of HTTP request are known to end this release (2.51): JSON data "
            "with a giant shape (it runs out of memory), and JSON data nested very deeply (its stack ends).",
            "Start the server again, and do not send that request.",
        )
    if signal_number == 9:
        return Finding(
            "",
            "Something killed it with SIGKILL: a person, or the system when memory ran out.",
            "Start the server again; look at `free -h` if it happens again.",
        )
    return first_cause(log)


def port_holder(log: str) -> str:
    """Who holds the ports that the log reports as taken, in words."""
    return ", ".join(f"port {p}: {ports.holder(p)}" for p in ports_taken(log))
