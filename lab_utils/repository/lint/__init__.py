"""Lint: what Triton will refuse in a model repository, and what it will accept and silently not do."""

from lab_utils.repository.lint.facts import ServerFacts
from lab_utils.repository.lint.finding import LintFinding, Severity, render_findings
from lab_utils.repository.lint.registry import RULES, Rule
from lab_utils.repository.lint.run import lint_repository

__all__ = ["RULES", "LintFinding", "Rule", "ServerFacts", "Severity", "lint_repository", "render_findings"]
