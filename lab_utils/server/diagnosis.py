"""What a server's log means for its start, its end and its models. The rules are in `lab_utils.diagnosis`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import httpx

from lab_utils.diagnosis import Entry, best_match, explain_log, read_log
from lab_utils.diagnosis.events import read_events
from lab_utils.server import ports, probe
from lab_utils.server.base import Endpoints, ServerError


@dataclass(frozen=True)
class Finding:
    """One understood message: its first line, the cause, the next step."""

    line: str
    cause: str
    fix: str


def _decisive(log: str) -> list[Entry]:
    # The Python stub prints its words before the server does; then they are there twice.
    return [entry for entry in read_log(log) if entry.decisive and entry.level != "I"]


def decisive_lines(log: str) -> list[str]:
    """The lines of a log that report an error, in order, without what is normal on a CPU machine."""
    return [entry.raw[0] for entry in _decisive(log) if entry.row is None]


def _finding(entry: Entry) -> Finding | None:
    match = best_match(entry.text)
    return Finding(entry.raw[0].strip(), match.cause, match.fix) if match else None


def diagnose(log: str) -> list[Finding]:
    """Every decisive message that a rule understands, in the order of the log."""
    return [finding for entry in _decisive(log) if (finding := _finding(entry))]


def first_cause(log: str) -> Finding | None:
    """The first understood error that is a cause, else the first symptom: later ones follow from it."""
    symptom: Finding | None = None
    for entry in _decisive(log):
        match = best_match(entry.text)
        if match is None:
            continue
        found = Finding(entry.raw[0].strip(), match.cause, match.fix)
        if not match.rule.symptom:
            return found
        symptom = symptom or found
    return symptom


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


def never_live(log: str) -> bool:
    """True when the server failed to initialize and runs on without ever becoming live.

    With `--exit-on-error=false`, which keeps a server with a broken model, a wrong `--cache-config` does so.
    """
    return re.search(r'tritonserver\.cc:\d+\] "Internal: Failed to initialize ', log) is not None


def missing_library(libraries: list[str]) -> Finding:
    """The finding for shared libraries that `ldd` does not find."""
    names = ", ".join(libraries)
    package = next((f"lib{n[3:].split('.so')[0]}" for n in libraries if n.startswith("libpython")), "")
    return Finding(
        names,
        f"Shared libraries are missing on this machine: {names}.",
        f"Install them, for example `apt install {package}`." if package else "See `triton-lab doctor`.",
    )


def load_failure(endpoints: Endpoints, model: str, log: str) -> ServerError | None:
    """The error for a model that could not be loaded; None while it may still be loading.

    The repository index often holds no reason (a config that cannot be parsed); then the log does.
    """
    try:
        entries = [e for e in probe.repository_index(endpoints) if e.get("name") == model]
    except httpx.HTTPStatusError as error:
        return _unreadable(error.response.text)
    except httpx.HTTPError:
        return None
    if any(e.get("state") in ("LOADING", "READY") for e in entries):
        return None
    reasons = [str(e["reason"]) for e in entries if e.get("reason") not in ("", None, "unloaded")]
    tried = any(e.model == model for e in read_events(read_log(log)))
    if not entries and not tried:
        return ServerError(
            f"The server knows no model `{model}`.",
            why="The model repository holds no folder of that name.",
            fix="Look at the folder names in the repository; names are exact.",
        )
    if not reasons and not tried:
        return ServerError(
            f"The model `{model}` is not loaded.",
            why="It is in the repository, and nobody asked the server to load it (explicit model control).",
            fix=f"Load it: `POST /v2/repository/models/{model}/load`, or start with `--load-model={model}`.",
        )
    told = explain_log(log, model)
    if told.cause is None and reasons:
        told = explain_log("\n".join(f"load failed for model '{model}': {r}" for r in reasons), model)
    said = (reasons or told.log_lines or ["nothing"])[0]
    return ServerError(
        f"The model `{model}` could not be loaded.",
        why=told.cause or f"Triton says: {said}",
        fix=told.fix or "Correct what Triton names, then load the model again.",
        details="\n".join([*(f"Triton says: {r}" for r in reasons), *told.log_lines]),
    )


def _unreadable(said: str) -> ServerError | None:
    """The error for a server that runs and cannot read its whole model repository; None for another cause."""
    match = best_match(said)
    if match is None or match.rule.family != "layout":
        return None
    return ServerError(
        "The server cannot read its model repository.", why=match.cause, fix=match.fix, details=said
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
