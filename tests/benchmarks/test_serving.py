"""The benchmark runs from end to end, measures right answers, and its arithmetic holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import report, single
from benchmarks.load import content_length
from benchmarks.many import Rival, ratio
from benchmarks.single import Target
from lab_utils import paths

pytestmark = pytest.mark.alone

WAYS = {single.LIMIT, *single.TRITON, single.RAW, single.JSON}


@pytest.mark.live
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_quick_run_measures_everything(tmp_path: Path) -> None:
    figures, phases = tmp_path / "figures.json", tmp_path / "phases.png"
    answer = subprocess.run(
        [
            sys.executable,
            "benchmarks/serving.py",
            "--quick",
            "--json",
            str(figures),
            "--picture",
            str(phases),
        ],
        cwd=paths.project_root(),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert "Goals" in answer.stdout
    assert "reached" in answer.stdout
    assert phases.read_bytes().startswith(b"\x89PNG")
    found = json.loads(figures.read_text())
    assert found["about"]["Note"].startswith("servers and clients share")
    assert set(found["single"]) == {"1", "8192"}
    for ways in found["single"].values():
        assert set(ways) == WAYS
        assert ways[single.LIMIT]["ratio_to_limit"] == 1
        for way in single.TRITON:
            assert sum(ways[way]["shares"].values()) == pytest.approx(1, abs=0.05)
            assert all(r["compute_infer"] > 0 and r["total"] > 0 for r in ways[way]["rounds_phases_ms"])
    assert set(found["concurrent"]) == {"16", "32"}
    for rivals in found["concurrent"].values():
        assert len(rivals) == 3
        assert all(r["errors"] == 0 and min(r["per_second"]) > 0 for r in rivals.values())
    assert all(0.05 < s < 60 for seconds in found["start_seconds"].values() for s in seconds)
    assert len(found["goals"]) == 9


def target(name: str, by_round: list[float], phases: list[dict[str, float]] | None = None) -> Target:
    return Target(
        name, lambda: None, lambda: None, 1, milliseconds=by_round, by_round=by_round, phases=phases or []
    )  # type: ignore[arg-type,return-value]


def test_ratios_are_taken_within_a_round() -> None:
    # The second round was slow for everybody; the ratio of the medians would be another one.
    limit, other = target("limit", [1.0, 10.0, 1.0]), target("other", [2.0, 20.0, 2.0])
    assert single.ratio_to_limit(other, limit) == 2
    first = Rival("a", "", Path(), 0, per_second=[30.0, 3.0, 30.0])
    second = Rival("b", "", Path(), 0, per_second=[10.0, 1.0, 10.0])
    assert ratio(first, second) == 3


def test_shares_split_the_time_that_the_client_waits() -> None:
    phases = {"queue": 1.0, "compute_input": 0.5, "compute_infer": 5.0, "compute_output": 0.5, "total": 10.0}
    parts = single.shares(target(single.HTTP, [10.0], [phases]), target(single.LIMIT, [4.0]))
    assert parts == pytest.approx({"queue": 0.1, "model": 0.4, "backend": 0.2, "transport": 0.3})
    drawn = report.bar(parts)
    assert len(drawn) == report.WIDTH
    assert drawn.count("B") == pytest.approx(0.2 * report.WIDTH, abs=1)


def test_an_answer_without_length_is_refused() -> None:
    assert content_length(b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\nx: y") == 12
    with pytest.raises(ValueError, match="without Content-Length"):
        content_length(b"HTTP/1.1 200 OK\r\nx: y")
