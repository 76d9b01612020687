"""The course's rules hold, their unit tests notice each changed limit, and promtool's words come through."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab_utils.monitoring import rules as course
from lab_utils.monitoring.tools import (
    MonitoringError,
    find_tool,
    has_alertmanager,
    has_prometheus,
    how_to_get,
)
from lab_utils.paths import project_root

pytestmark = pytest.mark.skipif(not has_prometheus(), reason=f"no Prometheus here. {how_to_get()}")

FOLDER = project_root() / "docker" / "prometheus"
TESTS = sorted((FOLDER / "tests").glob("*.yml"))
RULES = course.rules_of()
ALERTS = [rule for rule in RULES if rule.alert]
RECORDED = [rule for rule in RULES if not rule.alert]
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])")
WINDOW = re.compile(r"\[(\d+)([sm])\]")
# An error in a name or an operator, as a person makes them.
SLIPS = [(" and ", " or "), (" > ", " < "), (" == ", " != "), (" / (", " * ("), ('"error"', '"ok"')]


@pytest.mark.parametrize("tests", TESTS, ids=lambda path: path.stem)
def test_the_courses_rules_pass_their_unit_tests(tests: Path) -> None:
    """As a student runs them: from the files, at the command line."""
    command = [str(find_tool("promtool")), "test", "rules", tests.name]
    done = subprocess.run(command, cwd=tests.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_courses_rules_are_what_the_issue_lists() -> None:
    assert course.check_rules(course.rules_text()) == len(RULES)
    assert [rule.name for rule in ALERTS] == [
        "TritonServerDown",
        "TritonModelNotReady",
        "TritonQueueTime",
        "TritonFailureRatio",
        "ClientErrorRatio",
        "ErrorBudgetBurnFast",
        "ErrorBudgetBurnSlow",
        "MemoryNearLimit",
        "GpuMemoryNearLimit",
        "GpuSaturated",
    ]


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.name)
def test_an_alert_says_what_is_wrong_and_where_to_read_on(rule: course.Rule) -> None:
    words = rule.source["annotations"]
    assert rule.source["labels"]["severity"] in ("page", "ticket")
    assert rule.source["for"]
    assert "{{" in words["summary"]  # it names the model, the server or the GPU
    page, _, anchor = words["runbook"].partition("#")
    headings = re.findall(r"^## (.*)$", (project_root() / page).read_text(), re.MULTILINE)
    assert anchor == rule.name.lower()
    assert rule.name in headings


def mutants(rule: course.Rule) -> Iterator[tuple[str, dict[str, Any]]]:
    """Small changes of one rule, each with its name."""
    for found in NUMBER.finditer(rule.expr):
        for factor in (0.9, 1.1) if float(found[0]) else (1.0,):
            number = f"{float(found[0]) * factor:.6g}" if float(found[0]) else "1"
            expr = f"{rule.expr[: found.start()]}{number}{rule.expr[found.end() :]}"
            yield f"{found[0]} at {found.start()} is {number}", {"expr": expr}
    for found in WINDOW.finditer(rule.expr):
        for factor in (2, 3):  # 2: twice as long. 3: two thirds.
            length = int(found[1]) * {"s": 1, "m": 60}[found[2]]
            new = f"[{length * 2 if factor == 2 else length * 2 // 3}s]"
            expr = f"{rule.expr[: found.start()]}{new}{rule.expr[found.end() :]}"
            yield f"{found[0]} at {found.start()} is {new}", {"expr": expr}
    for old, new in SLIPS:
        if old in rule.expr:
            yield f"{old.strip()} is {new.strip()}", {"expr": rule.expr.replace(old, new, 1)}
    if rule.alert:
        seconds = int(rule.source["for"].removesuffix("s"))
        yield "for is longer", {"for": f"{seconds + 1}s"}
        yield "for is shorter", {"for": f"{seconds - 1}s"}
        yield "severity", {"labels": {"severity": "info"}}
        for name, text in rule.source["annotations"].items():
            yield name, {"annotations": {**rule.source["annotations"], name: f"{text}!"}}


@cache
def relevant(name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The rules and the unit tests that one rule needs. All of them would take ten times as long."""
    tests = []
    for path in TESTS:
        # As text: to YAML the values `0x20` are the number 32.
        for test in yaml.load(path.read_text(), Loader=yaml.BaseLoader)["tests"]:
            for sample in (s for t in test.get("promql_expr_test", []) for s in t.get("exp_samples", [])):
                sample["value"] = float(sample["value"])
            alerts = [t for t in test.get("alert_rule_test", []) if t["alertname"] == name]
            queries = [t for t in test.get("promql_expr_test", []) if name in t["expr"]]
            if alerts or queries:
                tests.append({**test, "alert_rule_test": alerts, "promql_expr_test": queries})
    (rule,) = (r for r in RULES if r.name == name)
    wanted = {name} | {r.name for r in RECORDED if r.name in rule.expr}
    groups = yaml.safe_load(course.rules_text())["groups"]
    few = [
        {**g, "rules": [r for r in g["rules"] if {r.get("alert"), r.get("record")} & wanted]} for g in groups
    ]
    return {"groups": [g for g in few if g["rules"]]}, tests


def changed(rule: course.Rule, change: dict[str, Any]) -> str:
    """The text of the rules that one rule needs, with a change of that rule."""
    groups = relevant(rule.name)[0]["groups"]

    def one(r: dict[str, Any]) -> dict[str, Any]:
        return {**r, **change} if rule.name in (r.get("alert"), r.get("record")) else r

    return yaml.safe_dump({"groups": [{**g, "rules": [one(r) for r in g["rules"]]} for g in groups]})


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_unit_tests_notice_every_change(rule: course.Rule, tmp_path: Path) -> None:
    """A changed limit, window, `for`, severity or word: each makes promtool's tests fail."""
    changes = {"nothing": {}, **dict(mutants(rule))}
    assert len(changes) > (6 if rule.alert else 2)
    tests = {"evaluation_interval": "1s", "tests": relevant(rule.name)[1]}
    order = [group["name"] for group in relevant(rule.name)[0]["groups"]]
    order.sort(key=lambda group: group not in ("triton", "client"))  # what is recorded comes first
    for number, change in enumerate(changes.values()):
        (tmp_path / f"rules{number}.yml").write_text(changed(rule, change))
        whole = {"rule_files": [f"rules{number}.yml"], "group_eval_order": order, **tests}
        (tmp_path / f"{number}.yml").write_text(yaml.safe_dump(whole))
    # All in one run: promtool takes longer to start than to test.
    command = [str(find_tool("promtool")), "test", "rules", *(f"{n}.yml" for n in range(len(changes)))]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.count("Unit Testing:") == len(changes), done.stderr
    passed = re.findall(r"Unit Testing:\s+(\d+)\.yml\n\s+SUCCESS", done.stdout)
    alive = [list(changes)[int(number)] for number in passed]
    assert alive == ["nothing"], f"promtool's tests pass although in {rule.name}: {', '.join(alive)}"


GOOD = """
groups:
  - name: mine
    rules:
      - alert: Down
        expr: up == 0
        for: 2s
"""
TEST = """
evaluation_interval: 1s
tests:
  - interval: 1s
    input_series:
      - series: up{job="triton"}
        values: 1x2 0x5
    alert_rule_test:
      - {eval_time: 4s, alertname: Down}
      - eval_time: 5s
        alertname: Down
        exp_alerts: [{exp_labels: {job: triton}}]
"""


def test_a_students_rule_and_its_tests() -> None:
    assert course.check_rules(GOOD) == 1
    passed = course.test_rules(GOOD, TEST)
    assert passed
    assert "SUCCESS" in passed.words
    failed = course.test_rules(GOOD.replace("2s", "3s"), TEST)
    assert not failed
    assert re.search(r"alertname: ?Down, time: ?5s", failed.words)
    assert "/tmp" not in failed.words


def test_what_is_recorded_comes_before_the_alerts_on_it() -> None:
    """promtool itself takes any order, so such a test would pass or fail by luck."""
    rules = GOOD.replace("expr: up", "expr: copy") + (
        "  - name: below\n    rules:\n      - {record: copy, expr: up}\n"
    )
    assert all(course.test_rules(rules, TEST) for _ in range(5))
    # An order that the test file gives is kept: the alert then sees each value one evaluation late.
    ordered = f"{TEST}\ngroup_eval_order: [mine, below]\n"
    assert not any(course.test_rules(rules, ordered) for _ in range(5))


@pytest.mark.parametrize(
    "tests",
    [
        f"rule_files: [elsewhere.yml]{TEST}",
        f"rule_files:\n  - ../a.yml\n  - b.yml\n\n{TEST}",
        f"---\n# mine{TEST}\nrule_files:\n- a.yml\n",
        TEST.replace("1x2 0x5", "1 1 1 0x5"),
        str(yaml.safe_load(TEST)),  # in braces, on one line
    ],
)
def test_a_test_file_may_be_written_in_any_way(tests: str) -> None:
    result = course.test_rules(GOOD, tests)
    assert result, result.words
    assert not course.test_rules(GOOD.replace("2s", "3s"), tests)


def test_values_that_yaml_takes_for_a_number_reach_promtool() -> None:
    """`0x20` is hexadecimal to YAML and a series of zeros to promtool."""
    tests = TEST.replace("1x2 0x5", "0x20").replace("eval_time: 4s", "eval_time: 1s")
    result = course.test_rules(GOOD, tests.replace("eval_time: 5s", "eval_time: 20s"))
    assert result, result.words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("up == 0", "up =="), "parse error"),
        (GOOD.replace("up == 0", "rat(up[5s]) > 1"), "unknown function"),
        (GOOD.replace("for: 2s", "for: soon"), "soon"),
        (GOOD.replace("alert:", "alarm:"), "alarm"),
        (GOOD.replace("mine", "mine\n  - name: mine"), "repeated"),
        ("groups: [", "yaml"),
    ],
)
def test_promtools_words_about_a_bad_rule_come_through(text: str, words: str) -> None:
    with pytest.raises(MonitoringError) as caught:
        course.check_rules(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("tests", "words"),
    [
        ("tests: []", "holds no test"),
        ("- a list", "no mapping"),
        ("tests: [", "YAML cannot read the tests"),
    ],
)
def test_a_test_file_that_tests_nothing_is_refused(tests: str, words: str) -> None:
    with pytest.raises(MonitoringError, match=words):
        course.test_rules(GOOD, tests)


def test_a_wrong_test_file_fails_with_promtools_words() -> None:
    failed = course.test_rules(GOOD, TEST.replace("alertname: Down", "alert: Down"))
    assert not failed
    assert "alert" in failed.words


def test_rules_come_from_a_text_a_file_or_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(GOOD)
    (tmp_path / "b.yml").write_text(GOOD.replace("mine", "yours").replace("Down", "Gone"))
    assert course.rules_text(GOOD) == course.rules_text(tmp_path / "a.yml") == GOOD
    assert [(r.group, r.name) for r in course.rules_of(tmp_path)] == [("mine", "Down"), ("yours", "Gone")]
    assert course.check_rules(course.rules_text(tmp_path)) == 2
    with pytest.raises(MonitoringError, match="no rules at"):
        course.rules_text(tmp_path / "absent.yml")


def test_the_configuration_for_compose_is_valid(tmp_path: Path) -> None:
    text = (FOLDER / "prometheus.yml").read_text()
    assert text.count("/etc/prometheus/rules/*.yml") == 1
    (tmp_path / "prometheus.yml").write_text(
        text.replace("/etc/prometheus/rules/*.yml", f"{course.RULES}/*.yml")
    )
    command = [str(find_tool("promtool")), "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout
    if not has_alertmanager():
        pytest.skip(f"Prometheus' file is valid. No Alertmanager for the other one. {how_to_get()}")
    command = [str(find_tool("amtool")), "check-config", str(FOLDER.parent / "alertmanager/alertmanager.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
