"""The progress file: history, crash safety, concurrent writers, damaged files, score."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from lab_utils.errors import LabError
from lab_utils.progress import store as store_module
from lab_utils.progress.registry import Checkpoint, failed, passed, skipped
from lab_utils.progress.store import ProgressStore

FAIL = failed(expected="a", found="b", next_step="c")


def points(id: str, value: int) -> Checkpoint:
    return Checkpoint(id, f"title {id}", value, 5, 1, ("x",), lambda ctx, answers: passed("yes"))


def test_a_verdict_survives_with_its_evidence(tmp_path: Path) -> None:
    verdict = passed("proven", count=np.int64(3), array=np.arange(2), path=Path("x/y"))
    ProgressStore(tmp_path / "p.json").record("1.1", verdict, {"pid": 7, "started": 9})
    entry = ProgressStore(tmp_path / "p.json").entries()["1.1"]
    assert entry.verdict.passed
    assert entry.verdict.evidence == {"count": 3, "array": [0, 1], "path": "x/y"}
    assert entry.server == {"pid": 7, "started": 9}
    assert entry.at.endswith("+00:00")


def test_a_later_fail_replaces_a_pass_and_says_so(tmp_path: Path) -> None:
    store = ProgressStore(tmp_path / "p.json")
    first = store.record("1.1", passed("yes"))
    later = store.record("1.1", FAIL)
    assert not later.verdict.passed
    assert later.fell_back
    assert later.first_pass == first.at
    assert later.attempts == 2
    assert store.score([points("1.1", 3)]).points == 0


def test_skip_is_neither_pass_nor_fail_in_the_score(tmp_path: Path) -> None:
    store = ProgressStore(tmp_path / "p.json")
    store.record("1.1", passed("yes"))
    store.record("1.2", skipped("no GPU here", "use a machine with one"))
    store.record("1.3", FAIL)
    score = store.score([points("1.1", 1), points("1.2", 2), points("1.3", 4), points("1.4", 8)])
    assert (score.points, score.possible, score.skipped, score.passed, score.total) == (1, 13, 2, 1, 4)
    assert "2 skipped" in str(score)


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b'{"schema": 1}', b'{"schema": 99, "checkpoints": {}}', b"\xff\xfe\x00",
     b'{"schema": 1, "checkpoints": {"1.1": {"verdict": {"status": "GREAT"}, "at": "now"}}}'],
)  # fmt: skip
def test_a_damaged_file_is_kept_aside_with_a_message(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(damage)
    store = ProgressStore(path)
    store.record("1.1", passed("yes"))
    assert store.entries()["1.1"].verdict.passed
    assert (tmp_path / "p.damaged-1.json").read_bytes() == damage
    assert "p.damaged-1.json" in store.warnings[0]


def test_a_crash_while_writing_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ProgressStore(tmp_path / "p.json")
    store.record("1.1", passed("yes"))
    before = store.path.read_bytes()

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module.os, "fsync", full)
    with pytest.raises(LabError, match=r"p\.json cannot be written"):
        store.record("1.1", FAIL)
    assert store.path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.json", "p.json.lock"]


def _write_many(path: Path, own: int) -> None:
    store = ProgressStore(path)
    for _ in range(15):
        store.record(f"1.{own}", passed("mine"))
        store.record("1.99", passed("everybody's"))


def test_concurrent_writers_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_many, args=(path, own)) for own in range(1, 5)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        if path.exists():
            json.loads(path.read_text())  # a reader never sees half a file
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    entries = ProgressStore(path).entries()
    assert entries["1.99"].attempts == 60
    assert [entries[f"1.{own}"].attempts for own in range(1, 5)] == [15] * 4


def test_forget_removes_an_exercise(tmp_path: Path) -> None:
    store = ProgressStore(tmp_path / "p.json")
    store.forget(["1.1"])
    store.record("1.1", passed("yes"))
    store.record("1.2", passed("yes"))
    store.forget(["1.1"])
    assert list(store.entries()) == ["1.2"]


def test_the_run_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ProgressStore(tmp_path / "p.json")
    monkeypatch.setenv("TRITON_LAB_RUN", "abc")
    assert store.record("1.1", passed("yes")).run == "abc"
    assert store.entries()["1.1"].run == "abc"
