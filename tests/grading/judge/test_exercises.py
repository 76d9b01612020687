"""The course's own exercises through the judge: the right answer passes, each wrong one gets its own message.

The gate runs a few that need little time and use what is special: a recorder, errors, benches, event loops,
tensors, modules. `TRITON_LAB_JUDGE_ALL=1` runs all of them (about 25 minutes on two cores).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lab_utils.progress.registry import Checkpoint
from tests.grading.judge.world import JudgedWorld
from tests.proofs.kit.labs import LabUnderTest, discover

IN_THE_GATE = ("1.1", "3.11", "3.13")
EVERYTHING = os.environ.get("TRITON_LAB_JUDGE_ALL") == "1"

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def worlds(private_folders: object) -> Iterator[dict[str, JudgedWorld]]:
    """One judged world for each lab; all end at the end."""
    from contextlib import ExitStack

    made: dict[str, JudgedWorld] = {}
    with ExitStack() as stack:

        class Worlds(dict[str, JudgedWorld]):
            def __missing__(self, lab: str) -> JudgedWorld:
                under = next(one for one in discover() if one.spec.number == lab)
                self[lab] = stack.enter_context(JudgedWorld(under).running())
                return self[lab]

        made = Worlds()
        yield made


@pytest.mark.parametrize(
    ("under", "one"),
    [
        pytest.param(under, one, id=one.id)
        for under in discover()
        for one in under.checkpoints()
        if EVERYTHING or one.id in IN_THE_GATE
    ],
)
def test_right_and_wrong_answers(
    under: LabUnderTest, one: Checkpoint, worlds: dict[str, JudgedWorld]
) -> None:
    problems = worlds[under.spec.number].problems(one)
    assert not problems, "\n".join(["", *problems])
