"""Records: a stale file, a reused process id or somebody else's file is never a running server."""

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab_utils import server as triton
from lab_utils.keeper.identity import ProcessId, boot_id, start_time
from lab_utils.server import ServerError, records
from lab_utils.server.base import Endpoints, Lifetime


def make(name: str, **changes: object) -> records.Record:
    own = ProcessId.of(os.getpid())
    fields: dict[str, object] = {
        "id": "0123456789ab",
        "name": name,
        "runtime": "embedded",
        "repository": Path("/models"),
        "options": ("--log-verbose=1",),
        "endpoints": Endpoints("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"),
        "lifetime": Lifetime.SESSION,
        "log": Path("/log"),
        "created": time.time(),
        "boot_id": boot_id(),
        "keeper": own,
        "server": own,
    }
    return records.Record(**(fields | changes))  # type: ignore[arg-type]


def test_a_record_survives_the_file() -> None:
    record = make("there-and-back", ended=records.Ended(1.0, None, 9, ""), extra={"parent": 7})
    records.path_of("there-and-back").write_text(json.dumps(record.as_dict()))
    assert records.read("there-and-back") == record
    records.forget(record)
    assert records.read("there-and-back") is None


def test_only_the_very_process_of_this_boot_counts_as_alive() -> None:
    assert make("a").alive()
    reused = ProcessId(os.getpid(), start_time(os.getpid()) or 0 + 1)
    assert not make("a", server=ProcessId(reused.pid, reused.started + 1)).alive()
    assert not make("a", boot_id="another boot").alive()
    assert not make("a", ended=records.Ended(1.0, 0, None, "")).alive()
    assert not make("a", server=None).alive()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"id": 3}', '{"id": "x", "name": null}'])
def test_a_corrupt_record_is_no_record(content: str) -> None:
    records.path_of("corrupt").write_text(content)
    assert records.read("corrupt") is None
    records.path_of("corrupt").unlink()


def test_forget_leaves_a_newer_server_of_the_name_alone() -> None:
    old, new = make("twice"), make("twice", id="ba9876543210")
    records.path_of("twice").write_text(json.dumps(new.as_dict()))
    records.forget(old)
    assert records.read("twice") == new
    records.forget(new)


@pytest.mark.parametrize("name", ["", "Lab 01", "../x", "-x", "x" * 70])
def test_names_that_cannot_be_file_names_are_refused(name: str) -> None:
    with pytest.raises(ServerError, match="cannot be the name"):
        records.path_of(name)


def test_how_it_ended_in_words() -> None:
    assert "SIGKILL" in str(records.Ended(0, None, 9, ""))
    assert "crashed" in str(records.Ended(0, None, 11, ""))
    assert "exit code 1" in str(records.Ended(0, 1, None, ""))
    assert str(records.Ended(0, 0, None, "idle for 4.0 hours")) == "idle for 4.0 hours"


def test_the_folder_is_private() -> None:
    assert records.folder().stat().st_mode & 0o077 == 0


def test_a_region_that_no_record_knows_is_found_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    region = Path("/dev/shm/tl0123456789abcdef-of-a-deleted-state-folder")
    foreign = Path("/dev/shm/tl-of-somebody-else")
    try:
        for path in (region, foreign):
            path.write_bytes(b"x")
        assert region not in records.orphan_regions(), "it is young: its server may be starting"
        later = time.time() + 61
        monkeypatch.setattr(records, "time", SimpleNamespace(time=lambda: later))
        assert region in records.orphan_regions()
        assert foreign not in records.orphan_regions()
        assert any(str(region) in line for line in triton.leftovers())
        triton.sweep()
        assert not region.exists()
        assert foreign.exists()
    finally:
        region.unlink(missing_ok=True)
        foreign.unlink(missing_ok=True)
