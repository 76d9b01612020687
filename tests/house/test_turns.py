"""A test that wants the machine for itself gets it, and is not overtaken for ever."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from tests.turns import turn

FORK = multiprocessing.get_context("fork")


def _hold(folder: Path, alone: bool, has_it: Event, give_back: Event) -> None:
    with turn(folder, alone):
        has_it.set()
        give_back.wait(30)


class Other:
    """Another worker with a test of its own."""

    def __init__(self, folder: Path, alone: bool) -> None:
        self.has_it, self.give_back = FORK.Event(), FORK.Event()
        self.process = FORK.Process(
            target=_hold, args=(folder, alone, self.has_it, self.give_back), daemon=True
        )
        self.process.start()

    def ends(self) -> None:
        self.give_back.set()
        self.process.join(10)


@pytest.mark.parametrize(
    ("first", "second", "waits"), [(False, False, False), (False, True, True), (True, False, True)]
)
def test_who_waits_for_whom(tmp_path: Path, first: bool, second: bool, waits: bool) -> None:
    one = Other(tmp_path, first)
    assert one.has_it.wait(10)
    two = Other(tmp_path, second)
    assert two.has_it.wait(0.5 if waits else 10) is not waits
    one.ends()
    assert two.has_it.wait(10)
    two.ends()


def test_nobody_overtakes_a_test_that_waits_to_be_alone(tmp_path: Path) -> None:
    running = Other(tmp_path, alone=False)
    assert running.has_it.wait(10)
    waiting = Other(tmp_path, alone=True)
    time.sleep(0.3)
    late = Other(tmp_path, alone=False)
    assert not late.has_it.wait(0.5), "the one that waits to be alone was there first"
    running.ends()
    assert waiting.has_it.wait(10)
    assert not late.has_it.is_set()
    waiting.ends()
    assert late.has_it.wait(10)
    late.ends()
