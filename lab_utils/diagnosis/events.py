"""What a log says of each model: loading, loaded, failed with a reason."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab_utils.diagnosis.log import Entry
from lab_utils.diagnosis.rule import words

START, READY, FAILED = "start", "ready", "failed"

# Every way in which Triton (also old releases) says that a model failed: its name and the reason.
_FAILED = tuple(
    re.compile(words(pattern), re.S)
    for pattern in (
        r"failed to load '(?P<model>[^']+)', (?P<reason>failed to poll from model repository)",
        r"failed to load '(?P<model>[^']+)' version \d+: (?P<reason>.+)",
        r"[Ff]ailed to load model '(?P<model>[^']+)': (?P<reason>.+)",
        r"load failed for model '(?P<model>[^']+)': (?P<reason>.+)",
        r"load failed for libtorch model -> '(?P<model>[^']+)': (?P<reason>.+)",
        r"Poll failed for model directory '(?P<model>[^']+)': (?P<reason>.+)",
        r"failed to poll model '(?P<model>[^']+)': (?P<reason>.+)",
        r"Loading servable: \{name: (?P<model>\S+) version: \d+\} failed: (?P<reason>.+)",
        r"Servable \{name: (?P<model>\S+) version: \d+\} cannot be loaded: (?P<reason>.+)",
        r"autofill failed for model '(?P<model>[^']+)': (?P<reason>.+)",
        r"(?P<reason>version \d+ is specified for model '(?P<model>[^']+)', but .+)",
        r"(?P<reason>ensemble '(?P<model>[^']+)' depends on .+)",
        r"(?P<reason>ensemble (?P<model>[^\s']+) (?:contains models|allows maximum) .+)",
        r"(?P<reason>in ensemble '?(?P<model>[^\s,']+)'?, .+)",
        r"(?P<reason>unable to load model '(?P<model>[^',]+)'?, .+)",
        r"(?P<reason>unable to find '[^']+' for model(?: instance)? '(?P<model>[^']+)'.*)",
        r"(?P<reason>model '(?P<model>[^']+)', tensor '.+)",
        r"(?P<reason>Stub process '(?P<model>[^']+?)(?:_\d+)+' is not healthy.*)",
    )
)
_STARTED = re.compile(r"^loading: (?P<model>\S+):\d+|^\(Re-\)adding model: (?P<older>\S+)")
_LOADED = re.compile(r"successfully loaded '(?P<model>[^']+)'")
_FOLDER = re.compile(r"/(?P<model>[\w.-]+)/(?:\d+/model\.py|\d+/model\.\w+|config\.pbtxt)")
_NAMED = re.compile(r"TRITONBACKEND_Model(?:Instance)?Initialize: (?P<model>[\w.-]+?)(?:_\d+)* \(")


@dataclass(frozen=True)
class Event:
    """One thing that the log says of a model: the place of its entry, what happened, and the reason."""

    at: int
    kind: str
    model: str
    reason: str = ""


def read_events(entries: list[Entry]) -> list[Event]:
    """The events of a log, in order."""
    found: list[Event] = []
    for at, entry in enumerate(entries):
        if entry.row is not None:
            kind = FAILED if entry.text.startswith("UNAVAILABLE") else READY
            if kind is FAILED or entry.text.startswith("READY"):
                found.append(Event(at, kind, entry.row[0], entry.text.partition(": ")[2]))
            elif entry.text.startswith("LOADING"):
                found.append(Event(at, START, entry.row[0]))
            continue
        if started := _STARTED.search(entry.text):
            found.append(Event(at, START, started["model"] or started["older"]))
        elif loaded := _LOADED.search(entry.text):
            found.append(Event(at, READY, loaded["model"]))
        else:
            for pattern in _FAILED:
                if failed := pattern.search(entry.text):
                    found.append(Event(at, FAILED, failed["model"], failed["reason"]))
                    break
    return found


def models_named(entries: list[Entry], events: list[Event]) -> list[str]:
    """The models that a log speaks of, in the order of their first mention."""
    names = [e.model for e in events]
    for entry in entries:
        names += [m["model"] for m in _NAMED.finditer(entry.text)]
    return list(dict.fromkeys(names))


def mentions(text: str, model: str) -> bool:
    """Whether a text holds the model's whole name: `mlp` must not take the lines of `mnist_mlp`."""
    return re.search(rf"(?<![\w-]){re.escape(model)}(?:_\d+)*(?![\w-])", text) is not None


def owner(text: str) -> str | None:
    """The model in whose folder a text's file lies: a traceback of the Python stub names no model else."""
    found = _FOLDER.search(text)
    return found["model"] if found else None
