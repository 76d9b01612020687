"""For the tests of the judge with an honest kernel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.grading.judge.bench import Bench


@pytest.fixture(scope="module")
def bench(private_folders: object) -> Iterator[Bench]:
    made = Bench()
    with made.world.running():
        yield made
