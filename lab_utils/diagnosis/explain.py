"""From a log to why one model could not be loaded: the decisive line, the cause, the mend, the place."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lab_utils.diagnosis.events import FAILED, READY, START, Event, mentions, owner, read_events
from lab_utils.diagnosis.log import Entry, read_log
from lab_utils.diagnosis.place import Place, find_place
from lab_utils.diagnosis.rule import Match
from lab_utils.diagnosis.table import RULES, best_match

STEP_FAILED = next(rule for rule in RULES if rule.id == "ensemble.step-failed")
_WHOLE_SERVER = ("startup", "network", "container", "gpu", "memory")
NO_CAUSE = "No known cause: the lines below are all that the log says."


@dataclass(frozen=True)
class Explanation:
    """Why a model is not served.

    Attributes:
        model: Its name; "" when the question was about the server.
        cause: In a sentence. None: no rule knows these lines.
        fix: What to do. None as the cause.
        file: The file to mend, None when there is none to name.
        line: The line in it, from 1.
        log_lines: The lines of the log that say so, the decisive one first, unchanged.
        rule: Id of the rule that fits.
        ready: The model is loaded; nothing is to be explained.
    """

    model: str
    cause: str | None = None
    fix: str | None = None
    file: str | None = None
    line: int | None = None
    log_lines: list[str] = field(default_factory=list)
    rule: str | None = None
    ready: bool = False

    def to_json(self) -> dict[str, Any]:
        """The values that `triton-lab explain --json` prints."""
        return {
            "model": self.model,
            "cause": self.cause,
            "fix": self.fix,
            "file": self.file,
            "line": self.line,
            "log_lines": self.log_lines,
        }

    def __str__(self) -> str:
        what = f"Model `{self.model}`" if self.model else "The server"
        if self.ready:
            return f"{what} is loaded and ready." + (f"\n{self.cause}" if self.cause else "")
        at = f"{self.file}, line {self.line}" if self.line else self.file
        parts = [
            f"{what}: {self.cause or NO_CAUSE}",
            f"Mend:  {self.fix}" if self.fix else "",
            f"Place: {at}" if at else "",
            "Log:" if self.log_lines else "",
            *(f"  {line}" for line in self.log_lines),
        ]
        return "\n".join(part for part in parts if part)


def explain_log(log: str, model: str | None, repository: Path | None = None) -> Explanation:
    """Explain from a log why a model was not loaded, or why the server did not start.

    Of several loads of the model the last one counts. The lines of other models do not, except
    those of a model that this one, an ensemble, is made of.

    Args:
        log: A log of Triton, or any part of one; also what docker, Kubernetes or a browser made of it.
        model: The model's name. None: the first failure that the log has.
        repository: The model repository, for the place in a file; None when it is not here.
    """
    return _explain(read_log(log), model, repository, frozenset())


def explain_message(message: str, model: str | None = None, repository: Path | None = None) -> Explanation:
    """Explain one message, such as that of an `InferenceServerException`."""
    entry = Entry("", message, message.splitlines() or [message], 1)
    match = best_match(message)
    name = model or (match.groups.get("model", "") if match else "")
    return _result(name, match, entry, [], repository)


def _explain(
    entries: list[Entry], model: str | None, repository: Path | None, seen: frozenset[str]
) -> Explanation:
    events = read_events(entries)
    if model is None:
        failed = next((e.model for e in events if e.kind == FAILED), None)
        if failed is None:
            return _server_wide(entries, "", repository)
        model = failed
    own = [e for e in events if e.model == model]
    if not own:
        named = [e for e in entries if e.is_error and mentions(e.text, model)]
        match, entry = _pick(named)
        if entry is not None and match is not None:
            return _result(model, match, entry, [], repository)
        return _server_wide(named or entries, model, repository, others={e.model for e in events})
    if own[-1].kind == READY:
        return Explanation(model, ready=True, log_lines=list(entries[own[-1].at].raw))
    failures, evidence = _last_attempt(entries, events, own, model)
    below = _step(entries, failures, model, repository, seen)
    if below is not None:
        return below
    match, entry = _pick(failures)
    if match is None or match.rule.symptom:
        better, line = _pick(evidence)
        if better is not None and (match is None or not better.rule.symptom):
            match, entry = better, line
    shown = [e for e in failures if e is not entry][:1]
    if entry is None:
        entry = (failures or evidence or [Entry("", "", [])])[0]
        shown = [e for e in (failures + evidence) if e is not entry][:6]
    return _result(model, match, entry, shown, repository)


def _last_attempt(
    entries: list[Entry], events: list[Event], own: list[Event], model: str
) -> tuple[list[Entry], list[Entry]]:
    """The failures of the model's last load, and the other errors that stand between them, nearest first."""
    last = own[-1].at
    ready = max((e.at for e in own if e.kind == READY), default=-1)
    starts = [e.at for e in own if e.kind == START or "Poll failed" in entries[e.at].text]
    begin = max((at for at in starts if ready < at <= last), default=None)
    if begin is None:
        begin = next(e.at for e in own if e.at > ready)
    mine = [e.at for e in own if e.kind == FAILED and e.at > ready]
    # An ensemble has no start of its own when a step of it failed, and is reported again at each poll.
    failed = [at for at in mine if at >= begin] or mine
    others = {e.at for e in events if e.model != model}
    before: list[Entry] = []
    # What stands right before, and names no model, belongs to it: libprotobuf's line, an ignored folder.
    for at in range(begin - 1, -1, -1):
        if at in others or not entries[at].telling or _names_other(entries[at], model):
            break
        before.append(entries[at])
    end = failed[0] if failed else _next_start(events, model, begin, len(entries))
    between = [
        entry
        for at, entry in enumerate(entries[begin:end], begin)
        if at not in others
        and entry.telling
        and "libprotobuf" not in entry.text
        and not _names_other(entry, model)
    ]
    failures = [entries[at] for at in failed]
    return failures, [*before, *(e for e in between if e not in failures and e.row is None)]


def _next_start(events: list[Event], model: str, begin: int, end: int) -> int:
    """Where the load of another model begins: up to there nameless lines are this one's."""
    return next((e.at for e in events if e.at > begin and e.kind == START and e.model != model), end)


def _names_other(entry: Entry, model: str) -> bool:
    """Whether the message belongs to another model: to a file in that one's folder."""
    other = owner(entry.text)
    return other is not None and not mentions(entry.text, model)


def _pick(entries: list[Entry]) -> tuple[Match | None, Entry | None]:
    """The first entry that a rule with a cause fits; else the first with a symptom."""
    symptom: tuple[Match | None, Entry | None] = (None, None)
    for entry in entries:
        match = best_match(entry.text)
        if match is None:
            continue
        if not match.rule.symptom:
            return match, entry
        if symptom[0] is None:
            symptom = match, entry
    return symptom


def _step(
    entries: list[Entry], failures: list[Entry], model: str, repository: Path | None, seen: frozenset[str]
) -> Explanation | None:
    """The cause of a composing model, told for the ensemble; None when no step is the reason.

    The message for the ensemble repeats the step's, and is garbage when Triton reports it again later.
    """
    for entry in failures:
        match = STEP_FAILED.match(entry.text)
        if match is None or match.groups["step"] in seen | {model}:
            continue
        step = match.groups["step"]
        below = _explain(entries, step, repository, seen | {model})
        if below.cause is None or below.ready:
            inner = best_match(entry.text)
            if inner is None or inner.rule.symptom:
                return None
            below = _result(step, inner, entry, [], repository)
        more = [line for line in entry.raw if line not in below.log_lines]
        cause = f"{match.cause} {below.cause}"
        return replace(below, model=model, cause=cause, log_lines=[*below.log_lines, *more])
    return None


def _server_wide(
    entries: list[Entry], model: str, repository: Path | None, others: set[str] | None = None
) -> Explanation:
    """What the log says when no failure of a model stands in it: the server's own end, or loose lines."""
    errors = [e for e in entries if e.is_error]
    if others:
        # The log speaks of other models: only what ends the whole server can be this one's reason, too.
        errors = [e for e in errors if e.decisive and not _about(e, others) and owner(e.text) is None]
        errors = [e for e in errors if (m := best_match(e.text)) and m.rule.family in _WHOLE_SERVER]
    for choice in ([e for e in errors if not e.harmless], errors, [] if others else entries):
        match, entry = _pick(choice)
        if match is not None and entry is not None:
            return _result(model, match, entry, [], repository)
    loose = errors or ([] if others else entries[-6:])
    return Explanation(model, log_lines=[line for e in loose[:6] for line in e.raw])


def _about(entry: Entry, models: set[str]) -> bool:
    return any(mentions(entry.text, name) for name in models)


def _nearest(model: str, repository: Path | None) -> str:
    """The folders of the repository that a misspelt name may mean."""
    if repository is None or not repository.is_dir():
        return ""
    folders = sorted(p.name for p in repository.iterdir() if p.is_dir() and not p.name.startswith("."))
    close = difflib.get_close_matches(model, folders, n=1)
    meant = f" Do you mean `{close[0]}`?" if close else ""
    more = " ..." if len(folders) > 8 else ""
    return f"{meant} The repository holds: {', '.join(folders[:8]) or 'nothing'}{more}."


def _result(
    model: str, match: Match | None, entry: Entry, more: list[Entry], repository: Path | None
) -> Explanation:
    lines = [line for e in (entry, *more) for line in e.raw]
    if match is None:
        return Explanation(model, log_lines=lines)
    place = (
        find_place(match, "\n".join(e.text for e in (entry, *more)), model, repository) if model else Place()
    )
    fix = match.fix + (_nearest(model, repository) if match.rule.id == "layout.unknown-folder" else "")
    if match.rule.family == "parsing" and repository is not None:
        # The file is here: our own reader says the same with the field's name and the nearest real one.
        # Imported here because gRPC comes with it, and every command would wait for that.
        from lab_utils.repository.config import fault_behind

        fault = fault_behind(repository / model, "\n".join(lines))
        if fault is not None:
            return Explanation(model, fault.what, fault.fix, place.file, fault.line, lines, match.rule.id)
    return Explanation(model, match.cause, fix, place.file, place.line, lines, match.rule.id)
