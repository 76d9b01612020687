"""The one table of lint rules: every rule puts itself into `RULES` when its module is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab_utils.repository.lint.finding import Severity

if TYPE_CHECKING:
    from lab_utils.repository.lint.facts import ServerFacts
    from lab_utils.repository.lint.model import Model

ERROR, WARNING = Severity.ERROR, Severity.WARNING
__all__ = ["ERROR", "RULES", "WARNING", "Check", "Hit", "Hits", "Rule", "Severity", "rule"]


@dataclass(frozen=True)
class Hit:
    """One place where a rule applies.

    Attributes:
        message: What is wrong.
        fix: What to do.
        field: Path in config.pbtxt, for example `input[0].dims`; gives the line.
        file: Another file of the model's folder, relative to it.
        line: Line in that file.
    """

    message: str
    fix: str
    field: str = ""
    file: str | None = None
    line: int | None = None


Hits = Iterator[Hit]
Check = Callable[["Model", "ServerFacts"], Hits]


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        id: Short name, the same for ever.
        severity: What Triton does with such a model.
        meaning: When the rule applies, in a sentence.
        group: Heading in the documentation.
        check: Yields a `Hit` for every place where it applies.
        whole: The rule needs a config that could be read to its end.
    """

    id: str
    severity: Severity
    meaning: str
    group: str
    check: Check
    whole: bool = True


RULES: dict[str, Rule] = {}


def rule(
    rule_id: str, severity: Severity, meaning: str, *, group: str, whole: bool = True
) -> Callable[[Check], Check]:
    """Register a function as a rule."""

    def register(check: Check) -> Check:
        if rule_id in RULES:
            raise ValueError(f"two lint rules are called {rule_id}")
        RULES[rule_id] = Rule(rule_id, severity, meaning, group, check, whole)
        return check

    return register
