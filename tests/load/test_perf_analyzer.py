"""NVIDIA's perf_analyzer as an independent judge of our figures, and as an engine."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from lab_utils.load import LoadError, LoadResult, perf_binary, run_load
from lab_utils.load.perf_binary import VARIABLE, find_perf_analyzer, get_perf_analyzer, require_perf_analyzer
from lab_utils.server.base import Server

pytestmark = pytest.mark.alone

TRIES = 4
"""Measurements side by side: a machine that does something else for a moment disturbs one of them."""
CLOSE = 0.10


@pytest.fixture(scope="module")
def perf_analyzer() -> Path:
    """The real program, fetched with pip; SKIP with the reason when it cannot be had or does not start."""
    try:
        program = find_perf_analyzer() or get_perf_analyzer()
        require_perf_analyzer()
    except LoadError as error:
        pytest.skip(f"no perf_analyzer: {error}")
    return program


@pytest.mark.live
@pytest.mark.parametrize("concurrency", [1, 4, 16])
def test_we_measure_what_perf_analyzer_measures(
    server: Server, perf_analyzer: Path, concurrency: int, record_property: pytest.RecordProperty
) -> None:
    # Two instances of 8 ms: 125 answers a second alone, 250 at most.
    tried = []
    for _ in range(TRIES):
        ours, theirs = (
            run_load(
                server, "steady", concurrency=concurrency, seconds=1.2, warmup=0.2, engine=engine, processes=1
            )
            for engine in ("lab", "perf_analyzer")
        )
        tried.append(
            (
                ours.throughput / theirs.throughput,
                ours.latency.p50 / theirs.latency.p50,
                ours.latency.p99 / theirs.latency.p99,
            )
        )
        record_property(f"ratios at {concurrency}: throughput, p50, p99", tried[-1])
        if all(abs(ratio - 1) <= CLOSE for ratio in tried[-1][:2]):
            break
    print(f"\n{concurrency} in flight, ours to theirs (throughput, p50, p99):", *np.round(tried, 3).tolist())
    assert all(abs(ratio - 1) <= CLOSE for ratio in tried[-1][:2]), tried


@pytest.mark.live
def test_the_engine_gives_the_same_kind_of_result(server: Server, perf_analyzer: Path) -> None:
    inputs = [{"x": np.full((2, 4), value, np.float32)} for value in (1, 2)]
    common = {"protocol": "http", "inputs": inputs, "concurrency": 2, "seconds": 0.9}
    result = run_load(server, "steady", engine="perf_analyzer", **common)  # type: ignore[arg-type]
    assert (result.engine, result.rows, list(result.batch_histogram)) == ("perf_analyzer", 2, [2])
    assert result.throughput == pytest.approx(2 * result.requests_per_second, rel=0.02)
    assert 0.008 <= result.server["compute_infer"] < 0.012
    assert 0.008 <= result.latency.p50 < 0.014
    assert "measured by perf_analyzer" in str(result)
    assert LoadResult.from_json(result.to_json()) == result


@pytest.mark.live
def test_a_rate_and_a_count(server: Server, perf_analyzer: Path) -> None:
    for _ in range(TRIES):
        paced = run_load(server, "steady", engine="perf_analyzer", rate=50, arrival="constant", seconds=0.9)
        assert (paced.rate, paced.concurrency) == (50, None)
        counted = run_load(server, "steady", engine="perf_analyzer", requests=90, concurrency=2)
        if paced.throughput == pytest.approx(50, rel=0.15) and 150 < counted.throughput < 260:
            return
    pytest.fail(f"{TRIES} tries, the last: {paced.throughput} of 50/s, {counted.throughput} of 250/s at most")


@pytest.mark.live
def test_what_it_cannot_do_is_said(server: Server, perf_analyzer: Path) -> None:
    with pytest.raises(LoadError, match="priorities"):
        run_load(server, "steady", engine="perf_analyzer", parameters={"priority": 1})


def test_without_the_program_the_error_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TRITON_LAB_CACHE", str(tmp_path))
    assert find_perf_analyzer() is None
    with pytest.raises(LoadError, match="not on this machine") as caught:
        require_perf_analyzer()
    assert "--get-perf-analyzer" in caught.value.fix


def test_the_variable_comes_first_and_a_wrong_one_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for folder in ("named", "on-path"):
        (tmp_path / folder).mkdir()
        program = tmp_path / folder / "perf_analyzer"
        program.write_text("#!/bin/sh\necho libmissing.so.1: cannot open >&2\nexit 127\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path / "on-path") + os.pathsep + os.environ["PATH"])
    monkeypatch.delenv(VARIABLE, raising=False)
    assert find_perf_analyzer() == tmp_path / "on-path" / "perf_analyzer"
    monkeypatch.setenv(VARIABLE, str(tmp_path / "named" / "perf_analyzer"))
    assert find_perf_analyzer() == tmp_path / "named" / "perf_analyzer"
    with pytest.raises(LoadError, match="does not start") as caught:
        require_perf_analyzer()
    assert "libmissing.so.1" in caught.value.details
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(LoadError, match="names no program"):
        find_perf_analyzer()


def test_a_failed_download_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRITON_LAB_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(LoadError, match="could not fetch") as caught:
        get_perf_analyzer()
    assert "tritonclient" in caught.value.details
    assert list((tmp_path / "perf_analyzer").iterdir()) == []
    assert not perf_binary._home().joinpath("perf_analyzer").exists()
