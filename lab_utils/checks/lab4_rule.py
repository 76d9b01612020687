"""The first half of checkpoint 4.11: one alert rule and its unit test, judged by promtool alone."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from lab_utils.checks.asking import shorten
from lab_utils.checks.lab4_rule_words import ALERT, what_differs, what_to_do, with_line
from lab_utils.monitoring import MonitoringError, check_rules
from lab_utils.monitoring.rules import RuleTests, test_rules
from lab_utils.progress.context import LabContext, refuse

_WAITED, _SERVED = "nv_inference_queue_duration_us", "nv_inference_request_success"
_A_SECOND = 10
"""Requests per second in the series of the check's own tests."""


@dataclass(frozen=True)
class Limits:
    """What the check asks for.

    Attributes:
        limit_ms: Mean time in the queue above which the alert is true.
        seconds: How long it must be true.
    """

    limit_ms: int
    seconds: int


def judge_rule_text(text: Any) -> dict[str, Any]:
    """The one rule of a rule file, if it is one and promtool takes it."""
    if not isinstance(text, str):
        refuse(
            expected="`queue_alert` returns the text of a rule file",
            found=f"it returned {type(text).__name__}",
            next_step="Return the YAML as one text.",
        )
    try:
        check_rules(text)
        groups = yaml.safe_load(text)["groups"]
    except MonitoringError as error:
        refuse(
            expected="promtool takes the rule file",
            found=shorten(with_line(error.details or error.what, text), 500),
            next_step="Compare with the example: groups > rules > alert, expr, for, labels, annotations. In "
            "an f-string each brace of YAML is written twice.",
        )
    rules = [rule for group in groups for rule in group.get("rules", [])]
    if len(rules) != 1 or rules[0].get("alert") != ALERT:
        refuse(
            expected=f"one rule, the alert {ALERT}",
            found=shorten(", ".join(str(r.get("alert", r.get("record"))) for r in rules), 100),
            next_step=f"`- alert: {ALERT}`, and nothing else in the file.",
        )
    return dict(rules[0])


def judge_rule(text: str, limits: Limits) -> None:
    """The rule's behaviour, on series of the check's own; then what it says."""
    rule = judge_rule_text(text)
    bare = {key: value for key, value in rule.items() if key not in ("labels", "annotations")}
    for case in _cases(limits):
        done = test_rules(_file(bare), case.tests(limits))
        if not done:
            refuse(
                expected=case.expected, found=what_differs(done), next_step=_by_labels(done) or case.next_step
            )
    if dict(rule.get("labels") or {}).get("severity") != "page":
        refuse(
            expected="the label severity is page",
            found=f"labels: {rule.get('labels') or 'none'}",
            next_step="`labels: { severity: page }` in the rule: Alertmanager decides by it who is called.",
        )
    summary = str(dict(rule.get("annotations") or {}).get("summary", ""))
    if not re.search(r"\{\{-?\s*\$labels\.model\b", summary):
        refuse(
            expected="the annotation summary names the model",
            found=f"summary: {shorten(summary, 100) or 'none'}",
            next_step="`{{ $labels.model }}` in the summary; in an f-string with four braces on each side.",
        )


@dataclass(frozen=True)
class _Case:
    """One behaviour.

    Attributes:
        waited: By `model/version`: requests per second, and the milliseconds that each waits.
        until: Second in which the requests end.
        fires: Second → models that fire then.
        expected: In words.
        next_step: What to do when it is not so.
    """

    waited: Mapping[str, tuple[int, float]]
    fires: Mapping[int, Sequence[str]]
    expected: str
    next_step: str
    until: int = 90

    def tests(self, limits: Limits) -> str:
        """The test file for promtool."""
        series = []
        for name, (rate, wait_ms) in self.waited.items():
            model, _, version = name.partition("/")
            labels = f'{{model="{model}",version="{version or 1}"}}'
            for metric, step in ((_WAITED, round(rate * wait_ms * 1000)), (_SERVED, rate)):
                rise = f"0+{step}x{self.until} {step * self.until}+0x60"
                series.append({"series": f"{metric}{labels}", "values": rise})
        alerts = [
            {
                "eval_time": f"{second}s",
                "alertname": ALERT,
                "exp_alerts": [{"exp_labels": {"model": model}} for model in models],
            }
            for second, models in self.fires.items()
        ]
        test = {"interval": "1s", "input_series": series, "alert_rule_test": alerts}
        return yaml.safe_dump({"evaluation_interval": "1s", "tests": [test]})


def _cases(limits: Limits) -> list[_Case]:
    limit, seconds = limits.limit_ms, limits.seconds
    much, little, late = 1.5 * limit, 0.7 * limit, seconds + 15
    return [
        _Case(
            {"slow": (_A_SECOND, 20 * limit)},
            {late: ["slow"]},
            f"requests wait 20 times the limit of {limit} ms: the alert fires",
            "Increase of the time in the queue by that of the requests, from microseconds to milliseconds.",
        ),
        _Case(
            {"quick": (_A_SECOND, little)},
            {late: []},
            f"requests wait {little:.0f} ms each, {_A_SECOND} a second, the limit is {limit} ms: silence",
            "The mean time of a request: divide the two rates. The counter has microseconds: / 1000.",
        ),
        _Case(
            {"slow": (_A_SECOND, much), "quick": (_A_SECOND, little), "idle": (0, 0)},
            {late: ["slow"]},
            f"of three models one waits {much:.0f} ms (limit {limit} ms), one less, one is idle: one fires",
            "Each model by itself: compare its own mean with the limit.",
        ),
        _Case(
            {"kiosk/1": (1, 2.5 * limit), "kiosk/2": (9, little)},
            {late: []},
            "two versions of a model, the slow one with a tenth of the requests: the mean is below the limit",
            "Versions are one model: add up before you divide, not after.",
        ),
        _Case(
            {"slow": (_A_SECOND, much)},
            {max(1, seconds - 2): [], seconds + 4: ["slow"]},
            f"true from the first second on, it fires after {seconds} s, not before",
            f"`for:` says how long it must be true: {seconds}s.",
        ),
        _Case(
            {"slow": (_A_SECOND, much)},
            {late: ["slow"], late + 22: []},
            "13 s after the last request nothing waits any more: the alert is over",
            "The rates look back over the last 5 s: `[5s]`.",
            until=late + 9,
        ),
    ]


def _by_labels(done: RuleTests) -> str:
    """What the labels of the alerts that came give away; empty: nothing."""
    came = " ".join(part.partition("exp:")[0] for part in done.words.split("got:")[1:])
    if "Labels:{" in came and "model=" not in came:
        return "One result for each model: `sum by (model)` above and below the line."
    if "version=" in came:
        return "Versions are one model: the alert has the label model alone, by `sum by (model)`."
    return ""


def _file(rule: Mapping[str, Any]) -> str:
    return yaml.safe_dump({"groups": [{"name": "lab", "rules": [dict(rule)]}]}, sort_keys=False, width=1000)


Mutation = tuple[str, Callable[[dict[str, Any]], None], str]


def judge_test(ctx: LabContext, rule_text: str, test_text: Any, limits: Limits) -> int:
    """The student's unit test: it passes with the rule, and fails with each rule that is changed.

    Returns:
        How many changed rules it caught.
    """
    if not isinstance(test_text, str):
        refuse(
            expected="`queue_test` returns the text of a test file",
            found=f"it returned {type(test_text).__name__}",
            next_step="Return the YAML as one text.",
        )
    try:
        done = test_rules(rule_text, test_text)
    except MonitoringError as error:
        refuse(
            expected="promtool takes the test file",
            found=shorten(with_line(f"{error.what} {error.details or error.why}", test_text), 500),
            next_step="Compare with the example: tests > input_series and alert_rule_test.",
        )
    if not done:
        refuse(
            expected="your test passes with your rule",
            found=what_differs(done),
            next_step=what_to_do(done),
        )
    mutations = _mutations(limits)
    for name, change, advice in mutations:
        right = judge_rule_text(rule_text)
        rule = copy.deepcopy(right)
        change(rule)
        if rule != right and test_rules(_file(rule), test_text):
            refuse(
                expected=f"your test fails with a rule that is changed: {name}",
                found="it passes",
                next_step=advice,
            )
    return len(mutations)


def _mutations(limits: Limits) -> list[Mutation]:
    """Changes that a test of an alert must notice."""

    def put(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
        return lambda rule: rule.update({key: value})

    def scaled(factor: float) -> Callable[[dict[str, Any]], None]:
        # The limit may stand on either side, in any unit: the measured side is scaled instead.
        return lambda rule: rule.update(
            expr=re.sub(rf"({_WAITED}(?:\{{[^}}]*\}})?\[\w+\])(\s*\))", rf"\1\2 * {factor}", rule["expr"])
        )

    return [
        (
            "it never fires",
            put("expr", "vector(0) > 1"),
            "Expect an alert in `exp_alerts` at some `eval_time`.",
        ),
        (
            "the limit is half of yours",
            scaled(2),
            "Have a model that waits between half the limit and the limit, and expect no alert for it.",
        ),
        (
            "the limit is twice yours",
            scaled(0.5),
            "Have a model that waits between the limit and twice the limit, and expect its alert.",
        ),
        ("`for` is gone", put("for", "0s"), f"Look before {limits.seconds} s are over, too: no alert yet."),
        ("`for` is 5 minutes", put("for", "5m"), "Look soon after the time of `for` is over."),
        (
            "the severity is another one",
            put("labels", {"severity": "mail"}),
            "Write the labels into `exp_labels`.",
        ),
    ]
