"""The comparison of locust with our load generator runs, and finds what docs/locust.md says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab_utils.paths import project_root

pytestmark = [pytest.mark.live, pytest.mark.alone, pytest.mark.slow]


@pytest.mark.timeout(300)
def test_a_quick_run_compares_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    answer = subprocess.run(
        [sys.executable, "benchmarks/locust.py", "--quick", "--json", str(path)],
        cwd=project_root(),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    figures = json.loads(path.read_text())
    rows = {(row["model"], row["engine"]): row for row in figures["rows"]}
    for model in ("mnist_mlp", "timed"):
        ours, theirs = rows[model, "lab"], rows[model, "locust"]
        assert min(ours["throughput"] + theirs["throughput"]) > 0
        assert ours["failures"] == theirs["failures"] == 0
        # A user of locust is Python that packs every request anew.
        assert theirs["client_us"][0] > 1.5 * ours["client_us"][0]
        assert model in answer.stdout
    # Coordinated omission: half a second of three without an answer.
    seen = {entry["engine"]: entry for entry in figures["stalled"]}
    ours, theirs = seen["lab"], seen["locust"]
    assert ours["latency"]["p90"] > 150, "one in ten was due while the server stood still"
    assert theirs["latency"]["p90"] < ours["latency"]["p90"] / 2
    assert theirs["latency"]["max"] > 400, "locust did meet the stall"
    assert theirs["answered"] < 0.95 * theirs["due"], "what it did not ask for cannot be late"
    # Locust prints whole milliseconds, and tens from a tenth of a second on.
    for entry in figures["seen"]:
        for name in ("p50", "p95"):
            printed = entry["printed"][name]
            step = 1 if printed < 100 else 10
            assert printed / step == pytest.approx(round(printed / step), abs=1e-6)
