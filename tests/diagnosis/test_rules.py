"""The table of rules: each fits its own example first, fills in its texts, and says what docs say."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from lab_utils.diagnosis import FAMILIES, RULES, Rule, best_match
from lab_utils.diagnosis.documentation import TABLE_END, TABLE_START, table_markdown
from lab_utils.diagnosis.rule import words
from lab_utils.paths import project_root

IDS = [rule.id for rule in RULES]


def test_every_id_is_used_once_and_names_a_family() -> None:
    assert sorted(set(IDS)) == sorted(IDS)
    assert {rule.family for rule in RULES} == set(FAMILIES)


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_the_example_is_explained_by_its_own_rule(rule: Rule) -> None:
    found = best_match(rule.example)
    assert found is not None
    assert found.rule.id == rule.id
    for text in (found.cause, found.fix):
        assert text
        assert not re.search(r"``|  | [.,;](?:$| [A-Z])| \(\)|(?<!\$)\{\w+\}", text), text


def used(rule: Rule) -> set[str]:
    """The groups that the texts of a rule use."""
    texts = rule.cause + rule.fix + rule.place
    return {name for _, name, _, _ in string.Formatter().parse(texts) if name}


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_the_texts_use_only_groups_of_the_pattern(rule: Rule) -> None:
    caught = {name.rstrip("0123456789") for name in rule.pattern.groupindex}
    assert used(rule) <= caught


def mutants(rule: Rule) -> list[tuple[str, str, str]]:
    """The example with one caught value exchanged: the group, the new value, the text."""
    found = rule.pattern.search(rule.example)
    assert found is not None
    out = []
    for name, value in found.groupdict().items():
        plain = name.rstrip("0123456789")
        if value and plain in used(rule):
            other = "4711" if value.isdigit() else "zq_" + value if value.isidentifier() else ""
            start, end = found.span(name)
            if other:
                out.append((plain, other, rule.example[:start] + other + rule.example[end:]))
    return out


def takes(rule: Rule, group: str, value: str, text: str) -> bool:
    """Whether the pattern takes the other value; it does not where only a few words may stand."""
    match = rule.match(text)
    return match is not None and match.groups[group] == value


MUTANTS = [(rule, *mutant) for rule in RULES for mutant in mutants(rule) if takes(rule, *mutant)]


def test_there_are_enough_values_to_exchange() -> None:
    assert len(MUTANTS) > 150


@pytest.mark.parametrize(
    ("rule", "group", "value", "text"), MUTANTS, ids=[f"{rule.id}-{group}" for rule, group, _, _ in MUTANTS]
)
def test_another_value_in_the_message_is_another_value_in_the_texts(
    rule: Rule, group: str, value: str, text: str
) -> None:
    match = rule.match(text)
    assert match is not None
    filled = " ".join([match.cause, match.fix, *match.places])
    assert value in filled, f"{group}: {filled}"


def test_a_space_of_a_pattern_fits_a_line_break_and_an_optional_one_nothing() -> None:
    assert re.fullmatch(words("a b"), "a\n   b")
    assert re.fullmatch(words("a ?b"), "ab")
    assert re.fullmatch(words("a *b"), "a  b")
    assert re.fullmatch(words("[^ ]+ b"), "xy b")
    assert not re.fullmatch(words("[^ ]+ b"), "x y b")


def test_the_documentation_has_this_very_table() -> None:
    text = Path(project_root() / "docs" / "troubleshooting.md").read_text()
    assert text.partition(TABLE_START)[2].partition(TABLE_END)[0].strip() == table_markdown().strip()
