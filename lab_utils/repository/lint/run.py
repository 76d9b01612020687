"""Run all rules over a model repository, or over one model folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lab_utils.repository.config import CONFIG_NAME
from lab_utils.repository.errors import RepositoryError
from lab_utils.repository.lint import rules_all
from lab_utils.repository.lint.facts import ServerFacts
from lab_utils.repository.lint.finding import LintFinding, Severity
from lab_utils.repository.lint.model import Model
from lab_utils.repository.lint.registry import RULES, Hit, Rule
from lab_utils.repository.lint.rules_layout import PHANTOMS

__all__ = ["lint_repository", "rules_all"]

# A model in which one of these was found is not looked at further: the rest would follow from it.
_DECISIVE = ("phantom-model",)
# Rule -> rules that say less about the same thing.
_SPEAKS_FOR = {
    "not-a-config": (
        "config-syntax",
        "config-unknown-field",
        "config-unknown-value",
        "config-wrong-type",
        "config-unclosed",
        "config-duplicate-field",
        "config-encoding",
    ),
    "ensemble-platform": ("unknown-backend", "no-backend"),
    "model-file-empty": ("python-class",),
    "onnx-batch": ("onnx-dims",),
}
_MODEL_FILES = (
    "model.onnx",
    "model.pt",
    "model.py",
    "model.plan",
    "model.savedmodel",
    "model.graphdef",
    "model.xml",
)


def lint_repository(path: Path | str, *, facts: ServerFacts | None = None) -> list[LintFinding]:
    """What Triton will refuse, and what it will accept and silently not do.

    Args:
        path: A model repository, or the folder of one model. Nothing in it is executed or changed.
        facts: The server to check for; by default the embedded one on this machine.

    Returns:
        The findings by model, errors first, then by line.

    Raises:
        RepositoryError: There is no such folder.
    """
    root, facts = Path(path), facts or ServerFacts()
    if not root.is_dir():
        raise RepositoryError(
            f"There is no folder {root}.",
            why="It is a file." if root.exists() else "The path leads nowhere.",
            fix="Give a model repository (one folder per model), or the folder of one model.",
        )
    root = root.resolve()
    if is_model_folder(root):
        return _sorted(_lint_model(Model(root, facts), facts, prefix=""))
    findings: list[LintFinding] = []
    for folder in sorted(p for p in root.iterdir() if p.is_dir()):
        findings += _lint_model(Model(folder, facts), facts, prefix=f"{folder.name}/")
    return _sorted(findings)


def is_model_folder(folder: Path) -> bool:
    """Whether a folder is one model, and not a repository of several."""
    if (folder / CONFIG_NAME).exists():
        return True
    children = [p for p in folder.iterdir() if p.is_dir()]
    if any((child / CONFIG_NAME).exists() for child in children if not child.name.isdigit()):
        return False
    if any((folder / name).exists() for name in _MODEL_FILES):
        return True
    return any(child.name.lstrip("v").isdigit() and _holds_model(child) for child in children)


def _holds_model(version: Path) -> bool:
    return not any(p.is_dir() and p.name.isdigit() for p in version.iterdir())


def _sorted(findings: Iterable[LintFinding]) -> list[LintFinding]:
    return sorted(findings, key=lambda f: (f.model, f.severity is Severity.WARNING, f.file, f.line or 0))


def _lint_model(model: Model, facts: ServerFacts, *, prefix: str, members: bool = True) -> list[LintFinding]:
    """All findings about one model; for an ensemble also that a member is refused."""
    if PHANTOMS.fullmatch(model.name) and prefix:
        return _apply(RULES["phantom-model"], model, facts, prefix)
    found: dict[str, list[LintFinding]] = {}
    for rule in RULES.values():
        if rule.id in _DECISIVE or (rule.whole and not model.whole):
            continue
        hits = _apply(rule, model, facts, prefix)
        if hits:
            found[rule.id] = hits
    for speaker, silent in _SPEAKS_FOR.items():
        if speaker in found:
            for rule_id in silent:
                found.pop(rule_id, None)
    findings = [finding for hits in found.values() for finding in hits]
    if members and model.ensemble and model.whole:
        findings += _refused_members(model, facts, prefix)
    return findings


def _apply(rule: Rule, model: Model, facts: ServerFacts, prefix: str) -> list[LintFinding]:
    return [_finding(rule, hit, model, prefix) for hit in rule.check(model, facts)]


def _finding(rule: Rule, hit: Hit, model: Model, prefix: str) -> LintFinding:
    if hit.file is None:
        name = str(model.config_path.relative_to(model.folder)) if model.has_config else ""
        line = model.line(hit.field) if hit.field and model.has_config else hit.line
    else:
        name, line = hit.file, hit.line
    return LintFinding(model.name, rule.severity, rule.id, prefix + name, line, hit.message, hit.fix)


def _refused_members(model: Model, facts: ServerFacts, prefix: str) -> list[LintFinding]:
    """An ensemble is refused with its members."""
    findings = []
    rule = RULES["ensemble-member"]
    for index, step in enumerate(model.config.ensemble_scheduling.step):
        member = model.member(step.model_name)
        if member is None or member.name == model.name or _seen(step.model_name, model, index):
            continue
        faults = _lint_model(member, facts, prefix="", members=not member.ensemble)
        errors = [f for f in faults if f.severity is Severity.ERROR]
        if errors:
            hit = Hit(
                f"Triton refuses its model `{member.name}` ({errors[0].rule}), and so the ensemble.",
                f"Mend `{member.name}` first.",
                f"ensemble_scheduling.step[{index}].model_name",
            )
            findings.append(_finding(rule, hit, model, prefix))
    return findings


def _seen(name: str, model: Model, index: int) -> bool:
    return any(s.model_name == name for s in model.config.ensemble_scheduling.step[:index])
