"""`lab.explain(model)` and `triton-lab explain`: why a running server does not serve a model."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx

from lab_utils.diagnosis import Explanation, explain_log
from lab_utils.diagnosis.events import models_named, read_events
from lab_utils.diagnosis.log import read_log
from lab_utils.errors import LabError
from lab_utils.server import probe

if TYPE_CHECKING:
    from lab_utils.repository.lint import LintFinding
    from lab_utils.server.base import Server


def explain_model(server: Server, model: str) -> Explanation:
    """Why a server does not serve a model, or that it does and what lint warns of.

    Args:
        server: A running server; its log, its repository index and its repository are looked at.
        model: The model's name.

    Returns:
        The explanation. A model that is ready has `ready`, and a cause when something in its config is
        accepted and silently not done.

    Raises:
        LabError: Neither the server nor its log knows a model of that name; says the nearest names.
    """
    index = _index(server)
    repository = server.repository
    states = [entry.get("state") for entry in index if entry.get("name") == model]
    if "READY" in states:
        return _ready(model, server)
    log = server.logs()
    told = explain_log(log, model, repository)
    named = models_named(entries := read_log(log), read_events(entries))
    if model not in named:
        if not any(entry.get("name") == model for entry in index):
            raise unknown_model(model, [*named, *(str(entry.get("name")) for entry in index)])
        if not _reasons(index, model):
            return _not_loaded(model)
    if told.ready:
        return Explanation(
            model,
            f"`{model}` was loaded, and it was unloaded since.",
            f"Load it again: POST /v2/repository/models/{model}/load.",
            log_lines=told.log_lines,
            rule="state.unloaded",
        )
    if told.cause is None and (reasons := _reasons(index, model)):
        told = explain_log(
            "\n".join(f"load failed for model '{model}': {r}" for r in reasons), model, repository
        )
    return _with_lint(told, server)


def _ready(model: str, server: Server) -> Explanation:
    repository = server.repository
    warnings = _lint(model, server)
    if not warnings or repository is None:
        return Explanation(
            model, f"`{model}` is loaded and ready: there is no failure to explain.", ready=True
        )
    first = warnings[0]
    more = f" (and {len(warnings) - 1} more: triton-lab lint)" if len(warnings) > 1 else ""
    return Explanation(
        model,
        f"`{model}` is loaded and ready, and not all of its config does what it says: {first.message}{more}",
        first.fix,
        str(repository / first.file) if first.file else None,
        first.line,
        rule=f"lint.{first.rule}",
        ready=True,
    )


def _not_loaded(model: str) -> Explanation:
    return Explanation(
        model,
        f"Nobody asked the server to load `{model}`: it is in the repository, and the server runs in the "
        "control mode explicit.",
        f"Load it: POST /v2/repository/models/{model}/load, or start the server with --load-model={model}.",
        rule="state.not-asked",
    )


def _with_lint(told: Explanation, server: Server) -> Explanation:
    """The explanation, from what lint says of the files when the log has no cause."""
    repository = server.repository
    if told.cause is not None or repository is None:
        return told
    errors = [f for f in _lint(told.model, server) if f.severity == "error"]
    if not errors:
        return told
    first = errors[0]
    return replace(
        told,
        cause=first.message,
        fix=first.fix,
        file=str(repository / first.file) if first.file else None,
        line=first.line,
        rule=f"lint.{first.rule}",
    )


def _lint(model: str, server: Server) -> list[LintFinding]:
    """What lint says of one model on this server; nothing when the repository is not on this machine."""
    from lab_utils.repository.lint import ServerFacts, lint_repository

    repository = server.repository
    if repository is None or not (repository / model).is_dir():
        return []
    findings = lint_repository(repository, facts=ServerFacts.of(server))
    return [finding for finding in findings if finding.model == model]


def _index(server: Server) -> list[dict[str, Any]]:
    try:
        return probe.repository_index(server.endpoints)
    except httpx.HTTPError:
        return []  # the server has ended, or closes this part of its API: the log is left


def _reasons(index: list[dict[str, Any]], model: str) -> list[str]:
    found = [str(entry.get("reason") or "") for entry in index if entry.get("name") == model]
    return [reason for reason in found if reason and reason != "unloaded"]


def unknown_model(model: str, known: list[str]) -> LabError:
    """The error for a name that neither log nor server has."""
    names = list(dict.fromkeys(known))
    close = difflib.get_close_matches(model, names, n=3, cutoff=0.5)
    return LabError(
        f"Nothing is known of a model `{model}`.",
        why=f"The log and the server name: {', '.join(names[:12])}."
        if names
        else "They name no model at all.",
        fix=f"Did you mean {' or '.join(f'`{name}`' for name in close)}?" if close else "Names are exact.",
    )
