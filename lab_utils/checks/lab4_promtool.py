"""PromQL on series that a check makes up: evaluated by promtool, with no server and no waiting."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from lab_utils.monitoring.tools import MonitoringError, find_tool, has_prometheus, how_to_get
from lab_utils.progress.registry import Verdict, skipped

_NOTHING_LIKE_IT = [{"labels": '{impossible="yes"}', "value": 0}]
# promtool prints an entry for each expression that does not give what its test expects.
_ENTRY = re.compile(r"^    expr: .*?, time: \w+,(?: err: (?P<error>.*))?$", re.MULTILINE)
_GOT = re.compile(r"^\s+got: ?(.*)$", re.MULTILINE)
_SAMPLE = re.compile(r"(\w*\{.*?\}) ([-+.\w]+)(?:, |$)")


@dataclass(frozen=True)
class Result:
    """What an expression gives.

    Attributes:
        series: Value by labels, as PromQL writes them: `{model="timed"}`.
        error: Prometheus' words about an expression that it refuses; else empty.
    """

    series: Mapping[str, float] = field(default_factory=dict)
    error: str = ""

    @property
    def value(self) -> float | None:
        """The value of the one series, or None."""
        return next(iter(self.series.values())) if len(self.series) == 1 else None


def missing_prometheus() -> Verdict | None:
    """SKIP when Prometheus and promtool cannot be had, else None."""
    if has_prometheus():
        return None
    return skipped("Prometheus is not on this machine, so no expression can be evaluated", how_to_get())


def evaluate(series: Mapping[str, str], expressions: Sequence[str], at: int) -> list[Result]:
    """Evaluate expressions on series with a sample every second.

    Args:
        series: `name{labels}` → values in promtool's notation, such as `0+10x60`.
        expressions: PromQL.
        at: The moment, in seconds from the first sample.

    Returns:
        A result for each expression.

    Raises:
        MonitoringError: promtool is missing, or says something that this reader does not know.
    """
    tests = [{"expr": e, "eval_time": f"{at}s", "exp_samples": _NOTHING_LIKE_IT} for e in expressions]
    group = {
        "interval": "1s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": tests,
    }
    with tempfile.TemporaryDirectory(prefix="promql-") as folder:
        path = Path(folder) / "tests.yml"
        path.write_text(
            yaml.safe_dump({"rule_files": [], "evaluation_interval": "1s", "tests": [group]}, width=10_000)
        )
        said = subprocess.run(
            [find_tool("promtool"), "test", "rules", path], capture_output=True, text=True, timeout=60
        )
    words = said.stdout + said.stderr
    entries = list(_ENTRY.finditer(words))
    if len(entries) != len(expressions):
        raise MonitoringError("promtool gave no answer for each expression.", details=words[-2000:])
    ends = [*(entry.start() for entry in entries[1:]), len(words)]
    return [_result(entry, words[entry.end() : end]) for entry, end in zip(entries, ends, strict=True)]


def _result(entry: re.Match[str], rest: str) -> Result:
    if entry["error"]:
        return Result(error=entry["error"])
    got = _GOT.search(rest)
    return Result({labels: float(value) for labels, value in _SAMPLE.findall(got[1])} if got else {})
