"""The six proofs, for every lab of the project. `tests/proofs/kit` says what they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab_utils.progress.registry import Checkpoint
from tests.proofs.conftest import LABS, world_of
from tests.proofs.kit.answers import mutant_problems, wrong_answer_problems
from tests.proofs.kit.labs import LabUnderTest
from tests.proofs.kit.notebooks import broken_problems, complete_problems, student_problems
from tests.proofs.kit.servers import server_problems
from tests.proofs.kit.world import World

pytestmark = [pytest.mark.live, pytest.mark.slow]
labs = pytest.mark.parametrize("under", LABS, ids=lambda under: f"lab{under.spec.number}")
exercises = pytest.mark.parametrize(
    ("under", "one"),
    [pytest.param(under, one, id=one.id) for under in LABS for one in under.checkpoints()],
)


def report(problems: list[str]) -> str:
    return "\n".join(["", *problems])


@labs
def test_the_lab_is_whole(under: LabUnderTest) -> None:
    """Every file is there, and exercises, checkpoints and wrong answers have the same ids."""
    for path in (under.source, under.complete, under.student, under.wrong):
        assert path.is_file(), f"{path} is missing"
    ids = [one.id for one in under.checkpoints()]
    assert ids
    assert list(under.code.exercises) == ids
    assert sorted(under.wrong_answers) == sorted(ids)
    assert {key.split(" ")[0] for key in under.equivalent_mutants} <= set(ids)


@labs
@pytest.mark.timeout(1600)
def test_proof_1_the_complete_notebook_scores_full_points(
    under: LabUnderTest, tmp_path: Path, private_folders: Path
) -> None:
    problems = complete_problems(under, tmp_path)
    assert not problems, report(problems)


@labs
@pytest.mark.timeout(900)
def test_proof_2_the_untouched_notebook_scores_zero(under: LabUnderTest, private_folders: Path) -> None:
    problems = student_problems(under)
    assert not problems, report(problems)


@labs
@pytest.mark.timeout(1600)
def test_proof_3_a_broken_notebook_scores_zero_with_a_reason(
    under: LabUnderTest, tmp_path: Path, private_folders: Path
) -> None:
    problems = broken_problems(under, tmp_path)
    assert not problems, report(problems)


@exercises
@pytest.mark.timeout(600)
def test_proof_4_wrong_answers_are_refused_each_with_its_own_message(
    under: LabUnderTest, one: Checkpoint, worlds: dict[str, World]
) -> None:
    problems = wrong_answer_problems(world_of(under, worlds), one)
    assert not problems, report(problems)


@exercises
@pytest.mark.timeout(1600)
def test_proof_5_mutants_of_the_answer_die(
    under: LabUnderTest, one: Checkpoint, worlds: dict[str, World]
) -> None:
    problems = mutant_problems(world_of(under, worlds), one)
    assert not problems, report(problems)


@labs
@pytest.mark.timeout(600)
def test_proof_6_a_wrong_server_never_passes(under: LabUnderTest, worlds: dict[str, World]) -> None:
    problems = server_problems(world_of(under, worlds))
    assert not problems, report(problems)
