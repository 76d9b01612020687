"""promtool's words about a rule and its test, made short and plain for checkpoint 4.11."""

from __future__ import annotations

import re

from lab_utils.checks.asking import shorten
from lab_utils.monitoring.rules import RuleTests

ALERT = "QueueTooLong"

_ENTRY = re.compile(
    r"alertname: [^,]*, time: (?P<time>\w+),\s*exp:\[(?P<exp>.*?)\],\s*got:\[(?P<got>.*?)\]"
    r"(?=\s*(?:alertname:|expr:|name:|\Z))",
    re.DOTALL,
)
"""What promtool prints about one moment at which other alerts came than were expected."""
_ONE = re.compile(r"Labels:(\{.*?\})\s+Annotations:(\{.*?\}),?$", re.MULTILINE)


def _alerts(text: str) -> list[str]:
    """Alerts as promtool prints them, one text each; the name is the same everywhere and left out."""
    shown = [f"{labels} {notes}" for labels, notes in _ONE.findall(text)]
    return [alert.replace(f'alertname="{ALERT}"', "").replace("{, ", "{") for alert in shown]


def what_differs(done: RuleTests) -> str:
    """What differs from what was expected: promtool prints all that is equal, too."""
    told = []
    for entry in _ENTRY.finditer(done.words):
        wanted, came = _alerts(entry["exp"]), _alerts(entry["got"])
        missing = " and ".join(alert for alert in wanted if alert not in came)
        more = " and ".join(alert for alert in came if alert not in wanted)
        parts = [f"exp: {missing}"] if missing else []
        parts += [f"got: {more}"] if more else [] if came else ["got: nothing fired"]
        told.append(f"at {entry['time']} {', '.join(parts)}")
    words = done.words.replace("Unit Testing:  tests.yml", "")
    return shorten("; ".join(told) or " ".join(words.split()), 500)


def what_to_do(done: RuleTests) -> str:
    """What to do about a test that its own rule does not pass."""
    for entry in _ENTRY.finditer(done.words):
        wanted, came = _alerts(entry["exp"]), _alerts(entry["got"])
        if wanted and not came:
            return (
                "At that `eval_time` your series give no alert: do they wait longer than the limit, and for "
                "longer than `for`?"
            )
        if came and not wanted:
            return "Your test expects silence there, and the rule fires: write that alert into `exp_alerts`."
    return (
        "exp: is what your test expects, got: what the rule gives. Labels and annotations must be the same, "
        "word for word."
    )


def with_line(words: str, text: str) -> str:
    """Words about a file, and first the line that they name."""
    numbers, lines = re.findall(r"line (\d+)", words), text.splitlines()
    if not numbers or not 0 < int(numbers[-1]) <= len(lines):
        return words
    return f"line {numbers[-1]} is `{lines[int(numbers[-1]) - 1].strip()}`; {' '.join(words.split())}"
