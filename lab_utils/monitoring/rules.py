"""Alert and recording rules: read, checked and unit-tested with promtool, which is Prometheus' own judge."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab_utils.monitoring.tools import MonitoringError, find_tool
from lab_utils.paths import project_root

RULES = project_root() / "docker" / "prometheus" / "rules"
"""The course's rules: `recording.yml` and `alerts.yml`."""
_TIMEOUT = 60.0


@dataclass(frozen=True)
class RuleTests:
    """What promtool said about unit tests of rules. True when all passed.

    Attributes:
        passed: All tests passed.
        words: What promtool printed, without the names of temporary files.
    """

    passed: bool
    words: str

    def __bool__(self) -> bool:
        return self.passed


@dataclass(frozen=True)
class Rule:
    """One rule of a rule file.

    Attributes:
        group: The group that it is evaluated in.
        name: The name of the alert, or of the series that is recorded.
        expr: Its PromQL expression.
        alert: True for an alert, false for a recording rule.
        source: The rule as it stands in the file: `for`, `labels`, `annotations`.
    """

    group: str
    name: str
    expr: str
    alert: bool
    source: dict[str, Any]


def rules_text(source: str | Path | None = None) -> str:
    """The text of rules.

    Args:
        source: A rule file, a folder of rule files (their groups are put together), or the text itself.
            Default: the course's rules.

    Raises:
        MonitoringError: A file is not there, or is not YAML.
    """
    place = RULES if source is None else source
    if isinstance(place, str):
        return place
    files = sorted(place.glob("*.yml")) if place.is_dir() else [place]
    if not files or not all(file.is_file() for file in files):
        raise MonitoringError(f"There are no rules at {place}.", fix="Name a rule file, or a folder of them.")
    if len(files) == 1:
        return files[0].read_text()
    groups = [group for file in files for group in _load(file.read_text(), file.name).get("groups", [])]
    return yaml.safe_dump({"groups": groups}, sort_keys=False, allow_unicode=True, width=1000)


def rules_of(source: str | Path | None = None) -> list[Rule]:
    """All rules of a rule file, a folder or a text, in their order. See `rules_text` for `source`."""
    return list(_rules(_load(rules_text(source), "the rules")))


def check_rules(text: str) -> int:
    """Let promtool check the text of a rule file. Returns the number of rules in it.

    Raises:
        MonitoringError: promtool refuses it (with promtool's words), or there is no promtool.
    """
    with tempfile.TemporaryDirectory(prefix="triton-lab-rules-") as folder:
        Path(folder, "rules.yml").write_text(text)
        done = _promtool("check", "rules", "rules.yml", folder=folder)
    words = _clean(done, folder)
    found = re.search(r"(\d+) rules found", words)
    if done.returncode or found is None:
        raise MonitoringError(
            "promtool refuses the rules.",
            why="Prometheus would refuse them for the same reason.",
            fix="Mend the place that the words below name.",
            details=words,
        )
    return int(found[1])


def test_rules(rules_text: str, tests_text: str) -> RuleTests:
    """Run promtool's unit tests on rules: they put in samples and look at the alerts that come out.

    Args:
        rules_text: The text of a rule file.
        tests_text: The text of promtool's test file. Its `rule_files` may be left out: these rules are meant.
            So may its `group_eval_order`: the groups are then evaluated in their order.

    Raises:
        MonitoringError: The rules or the tests are no valid files, or there is no promtool.
    """
    check_rules(rules_text)
    if not _load(tests_text, "the tests").get("tests"):
        raise MonitoringError(
            "The test file holds no test.",
            why="promtool passes an empty list of tests, and that says nothing about the rules.",
            fix="Write at least one entry under `tests:`.",
        )
    with tempfile.TemporaryDirectory(prefix="triton-lab-rules-") as folder:
        Path(folder, "rules.yml").write_text(rules_text)
        Path(folder, "tests.yml").write_text(_completed(tests_text, rules_of(rules_text)))
        done = _promtool("test", "rules", "tests.yml", folder=folder)
    return RuleTests(done.returncode == 0, _clean(done, folder))


def _completed(tests_text: str, rules: list[Rule]) -> str:
    """The test file with our rules in `rule_files`, and with an order of the groups.

    The rest stays letter by letter: to YAML `0x20` is the number 32, to promtool it is 21 times a 0.
    """
    # promtool takes groups in any order, and an alert may look at a series that another group records.
    alerting = {rule.group: rule.alert for rule in sorted(rules, key=lambda rule: rule.alert)}
    order = sorted(dict.fromkeys(rule.group for rule in rules), key=lambda group: alerting[group])
    ours = {"rule_files": "[rules.yml]", "group_eval_order": f"[{', '.join(map(json.dumps, order))}]"}
    root = yaml.compose(tests_text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)  # `_load` has seen to that
    text, begin = tests_text, root.start_mark.index
    given = {key.value: (key.start_mark.index, value.end_mark.index) for key, value in root.value}
    if "rule_files" in given:
        start, end = given["rule_files"]
        line_end = "\n" if text[start:end].endswith("\n") else ""
        text = f"{text[:start]}rule_files: {ours.pop('rule_files')}{line_end}{text[end:]}"
    if "group_eval_order" in given:
        del ours["group_eval_order"]
    separator = ", " if root.flow_style else "\n"
    begin += 1 if root.flow_style else 0  # behind the brace
    return text[:begin] + "".join(f"{key}: {value}{separator}" for key, value in ours.items()) + text[begin:]


def _rules(data: dict[str, Any]) -> Iterator[Rule]:
    for group in data.get("groups") or []:
        for rule in group.get("rules") or []:
            alert = "alert" in rule
            yield Rule(group["name"], rule["alert" if alert else "record"], str(rule["expr"]), alert, rule)


def _load(text: str, what: str) -> dict[str, Any]:
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise MonitoringError(
            f"YAML cannot read {what}.",
            why="The indentation is wrong, or a sign such as : or { stands in a text without quotes.",
            fix="Mend the line named below.",
            details=str(error),
        ) from None
    if not isinstance(data, dict):
        raise MonitoringError(f"There is no mapping in {what}.", fix="Begin with `groups:` or `tests:`.")
    return data


def _promtool(*arguments: str, folder: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(find_tool("promtool")), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )


def _clean(done: subprocess.CompletedProcess[str], folder: str) -> str:
    return (done.stdout + done.stderr).replace(f"{folder}/", "").strip()
