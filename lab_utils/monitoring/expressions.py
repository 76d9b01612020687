"""Which metrics a PromQL expression asks for, read from its text."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
      (?P<comment>\#[^\n]*)
    | (?P<string>"(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | `[^`]*`)
    | (?P<range>\[[^\]]*\])                      # a duration or a subquery, perhaps a variable of Grafana
    | (?P<number>(?:\d|\.\d)[\w.]*(?:(?<=[eE])[+-]\d+)?)   # 14.4, 1e-6, 5m, 0x1F
    | (?P<name>[a-zA-Z_:][\w:]*)
    | (?P<operator>=~|!~|!=|==|>=|<=|\S)
    """,
    re.VERBOSE,
)
# Behind these words stands a list of labels in parentheses.
_GROUPINGS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_WORDS = {"and", "or", "unless", "atan2", "bool", "offset", "inf", "nan"} | _GROUPINGS


@dataclass(frozen=True)
class Names:
    """What an expression asks for.

    Attributes:
        exact: Names of metrics.
        patterns: Regular expressions for names, from `{__name__=~"..."}`.
    """

    exact: frozenset[str]
    patterns: frozenset[str]


def metric_names(promql: str) -> Names:
    """The names of the metrics in an expression.

    The expression need not be valid: Prometheus says that better. Variables of Grafana may stand in it.
    """
    tokens = [(m.lastgroup or "", m.group()) for m in _TOKEN.finditer(promql)]
    tokens = [token for token in tokens if token[0] not in ("comment", "range")]
    exact: set[str] = set()
    patterns: set[str] = set()
    place = 0
    while place < len(tokens):
        kind, text = tokens[place]
        following = tokens[place + 1][1] if place + 1 < len(tokens) else ""
        place += 1
        if text == "{":
            place = _matchers(tokens, place, exact, patterns)
        elif text == "$" and following:
            place += 1  # a variable: not a name of ours
        elif kind == "name" and text.lower() in _GROUPINGS and following == "(":
            while place < len(tokens) and tokens[place][1] != ")":
                place += 1
        elif (
            kind == "name"
            and text.lower() not in _WORDS
            and following != "("  # a function
            and following.lower() not in ("by", "without")  # an aggregation
        ):
            exact.add(text)
    return Names(frozenset(exact), frozenset(patterns))


def _matchers(tokens: list[tuple[str, str]], place: int, exact: set[str], patterns: set[str]) -> int:
    """Read the matchers behind a brace; returns the place behind the closing one."""
    while place < len(tokens) and tokens[place][1] != "}":
        if tokens[place][1] == "__name__" and place + 2 < len(tokens):
            operator, value = tokens[place + 1][1], tokens[place + 2][1][1:-1]
            if operator == "=":
                exact.add(value)
            elif operator == "=~":
                patterns.add(value)
        place += 1
    return place + 1
