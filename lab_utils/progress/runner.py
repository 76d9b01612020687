"""Run one checkpoint: prove the server, collect the answers, call the check, survive everything."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lab_utils.errors import LabError
from lab_utils.progress.context import LabContext, Refusal
from lab_utils.progress.identity import prove_server
from lab_utils.progress.limits import TimeLimit, run_limited
from lab_utils.progress.registry import Checkpoint, Status, Verdict, failed

CHECK_SECONDS = 240.0
"""No check may take longer than this: a check that hangs is a FAIL, never an endless cell."""


def run_checkpoint(checkpoint: Checkpoint, context: LabContext, namespace: Mapping[str, Any]) -> Verdict:
    """Run one checkpoint against the live server.

    Args:
        checkpoint: What to check.
        context: The lab's surroundings. Its `server` is set here, after the proof.
        namespace: Where the student's answers are, by name.

    Returns:
        The verdict. A missing name, a dead or foreign server, and any error in the check give FAIL
        with its own message. The server's identity stands in `evidence["server"]`.
    """
    missing = [name for name in checkpoint.answers if name not in namespace]
    if missing:
        return _missing(missing, namespace)
    answers = {name: namespace[name] for name in checkpoint.answers}
    borrowed = {name: module for name, value in answers.items() if (module := _course_module(value))}
    if borrowed:
        return _borrowed(borrowed)
    identity: dict[str, Any] | None = None
    context.server = None
    try:
        if checkpoint.needs_server:
            try:
                context.server, identity = prove_server(context)
            except Refusal as refusal:
                return _unjudged(refusal.verdict)
        verdict = run_limited(checkpoint.function, context, answers, timeout=CHECK_SECONDS)
        verdict = _sound(checkpoint, verdict)
    except Refusal as refusal:
        verdict = refusal.verdict
    except TimeLimit as late:
        verdict = failed(
            expected=f"the check of {checkpoint.id} ends within {late.seconds:g} s",
            found="it did not end",
            next_step="See with `triton-lab status` that the server answers, then check again.",
        )
    except LabError as error:
        verdict = failed(
            expected=f"the check of {checkpoint.id} can ask the server",
            found=error.what + (f" ({error.why})" if error.why else ""),
            next_step=error.fix or "See that the server runs and that its models are ready.",
        )
    except (Exception, SystemExit) as error:
        verdict = _broken(checkpoint, error)
    finally:
        problem = _close(context)
    if context.server is not None and verdict.status is Status.FAIL:
        verdict = _server_is_why(context) or verdict
    evidence = dict(verdict.evidence)
    if identity is not None:
        evidence["server"] = identity
    if problem:
        evidence["cleanup"] = problem
    return replace(verdict, evidence=evidence)


def _missing(missing: list[str], namespace: Mapping[str, Any]) -> Verdict:
    """A name that is not there, with the nearest name that is: a typing error is the usual cause."""
    own = [name for name in namespace if not name.startswith("_")]
    near = {name: difflib.get_close_matches(name, own, n=1, cutoff=0.75) for name in missing}
    hints = [f"`{name}` (there is `{found[0]}`)" if found else f"`{name}`" for name, found in near.items()]
    return failed(
        expected="the notebook defines " + ", ".join(f"`{name}`" for name in missing),
        found="not defined in the notebook: " + ", ".join(hints),
        next_step="Run the cell that defines it, with exactly this name, then check again. After a restart "
        "of the kernel: Run > Run All Above Selected Cell.",
        error="missing name",
        judged=False,
    )


def _course_module(answer: Any) -> str:
    """The module of the course that a function or class is from; empty when it is the student's own."""
    module = getattr(answer, "__module__", "") if callable(answer) and hasattr(answer, "__name__") else ""
    return module if isinstance(module, str) and module.split(".")[0] == "lab_utils" else ""


def _borrowed(borrowed: Mapping[str, str]) -> Verdict:
    """An answer that was imported: the checks compute the right values, and everybody can read them."""
    names = ", ".join(f"`{name}`" for name in borrowed)
    return failed(
        expected=f"{names}: written in the notebook",
        found="the course's own: " + ", ".join(f"`{name}` of {module}" for name, module in borrowed.items()),
        next_step="Write it yourself, in the cell of the exercise.",
        error="borrowed",
    )


def _sound(checkpoint: Checkpoint, verdict: Any) -> Verdict:
    if not isinstance(verdict, Verdict) or not isinstance(verdict.status, Status):
        raise TypeError(f"the check of {checkpoint.id} returned {type(verdict).__name__}, not a verdict")
    if not verdict.passed and not verdict.next_step:
        raise ValueError(f"the check of {checkpoint.id} gave {verdict.status} without a next step")
    return verdict


def _server_is_why(context: LabContext) -> Verdict | None:
    """The proof's own verdict when the server was lost during the check, else None.

    A request to a model whose Python process died fails like a wrong one: the cause must be named.
    """
    try:
        prove_server(context)
    except Refusal as refusal:
        return _unjudged(replace(refusal.verdict, found=f"during the check: {refusal.verdict.found}"))
    return None


def _unjudged(verdict: Verdict) -> Verdict:
    """A FAIL that says nothing about the answer: it was not there, or there was no server to ask."""
    return replace(verdict, evidence={**verdict.evidence, "judged": False})


def _broken(checkpoint: Checkpoint, error: BaseException) -> Verdict:
    """The check itself raised."""
    return failed(
        expected=f"the check of {checkpoint.id} can judge the answer",
        found=f"it stopped with {type(error).__name__}: {error}",
        next_step="See that your function returns what the exercise asks for (type and shape), then check "
        "again. If it does, this is a fault of the course: please report this message.",
        error=type(error).__name__,
    )


def _close(context: LabContext) -> str:
    """Stop throwaway servers. A problem there must not change or lose the verdict."""
    try:
        context.close()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
