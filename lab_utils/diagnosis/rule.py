"""One rule: a pattern of Triton's own words, the cause in a sentence, the mend, and a line that tests it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Rule:
    """One known fault.

    Attributes:
        id: `class.fault`, such as `config.unknown-field`.
        pattern: What Triton (or a backend) writes. Named groups fill the texts below; `model2` is a
            second place for `model`, because `re` allows a group's name only once.
        cause: Why it happened, in a sentence. May use the pattern's groups: `{model}`.
        fix: What to change. May use the groups, too.
        example: A line in the shape of the real message. The tests match every rule against its own.
        place: Where the mend is made: a field of config.pbtxt such as `input.{input}.dims`, several
            of them with `|` between (the first that the file has counts), `line` for the pattern's own
            groups `line` and `column`, `model.py`, `folder` (the model's own), or "" when it
            is somewhere else.
        symptom: The message follows from something else that the log may name: a better line wins.
    """

    id: str
    pattern: re.Pattern[str]
    cause: str
    fix: str
    example: str
    place: str = ""
    symptom: bool = False

    @property
    def family(self) -> str:
        """The class of the fault: the part of the id before the dot."""
        return self.id.partition(".")[0]

    def match(self, text: str) -> Match | None:
        """The rule applied to a text; None when it does not fit."""
        found = self.pattern.search(text)
        if found is None:
            return None
        groups: dict[str, str] = {}
        for name, value in found.groupdict().items():
            plain = name.rstrip("0123456789")
            groups[plain] = groups.get(plain) or _tidy(value or "")
        return Match(self, groups, found.start())


@dataclass(frozen=True)
class Match:
    """A rule that fits a text, with what its groups caught."""

    rule: Rule
    groups: Mapping[str, str] = field(repr=False)
    start: int = 0

    @property
    def cause(self) -> str:
        """The cause, filled in."""
        return _fill(self.rule.cause, self.groups)

    @property
    def fix(self) -> str:
        """The mend, filled in."""
        return _fill(self.rule.fix, self.groups)

    @property
    def places(self) -> list[str]:
        """The fields of config.pbtxt where to look, best first."""
        return [p.format(**self.groups) for p in self.rule.place.split("|") if p]


def _fill(text: str, groups: Mapping[str, str]) -> str:
    """A text with the groups filled in. What a group did not catch leaves no empty quotes or brackets."""
    text = text.format(**groups)
    if "" not in groups.values():
        return text
    text = re.sub(r"``| \(\)|\( ", lambda found: "(" if found[0] == "( " else "", text)
    text = re.sub(r" {2,}", " ", text)
    return re.sub(r"[\s:,]+([.;])|\s+([,:)])", lambda found: found[1] or found[2], text).strip()


def _tidy(value: str) -> str:
    """A caught value on one line, without the punctuation that ends a message."""
    value = " ".join(value.split()).rstrip(".;,")
    if value[-1:] in ("'", '"') and value.count(value[-1]) % 2:
        value = value[:-1]
    return value


def words(pattern: str) -> str:
    """A pattern in which every space fits any white space: logs and status tables break lines anywhere."""
    out, inside, index = [], False, 0
    while index < len(pattern):
        char = pattern[index]
        if char == "\\":
            out.append(pattern[index : index + 2])
            index += 2
            continue
        inside = (inside or char == "[") and char != "]"
        if char == " " and not inside:
            # ` ?` and ` *` say that there may be no space at all.
            optional = pattern[index + 1 : index + 2] in ("?", "*")
            out.append(r"\s*" if optional else r"\s+")
            index += 2 if optional else 1
            continue
        out.append(char)
        index += 1
    return "".join(out)


def rule(
    id: str, pattern: str, cause: str, fix: str, example: str, *, place: str = "", symptom: bool = False
) -> Rule:
    """A rule from plain texts. See `Rule` for the arguments and `words` for the spaces of the pattern."""
    return Rule(id, re.compile(words(pattern)), cause, fix, example, place, symptom)
