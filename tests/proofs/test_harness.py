"""The proofs themselves, tried on a tiny lab: they hold for it, and each one can fail."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lab_utils.notebooks.solution import complete_text, student_text
from lab_utils.progress import registry
from lab_utils.progress.labs import LABS
from lab_utils.progress.registry import Checkpoint, passed
from tests.proofs.kit import answers, servers
from tests.proofs.kit.labs import LabUnderTest, SourceCode, discover, parse, solution_lines
from tests.proofs.kit.mutants import mutants
from tests.proofs.kit.notebooks import broken_problems, complete_problems, student_problems
from tests.proofs.kit.world import World

DATA = Path(__file__).parent / "data"
sys.path.insert(0, str(DATA))
import tiny_checks  # noqa: E402, F401  (registers lab 90)

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(400)]


def write_notebooks(source: Path, folder: Path) -> None:
    """What the generator does, without the form limits that a two-exercise lab cannot keep."""
    code = SourceCode(source)
    places = {p: (e.id, role) for e in code.exercises.values() for p, role in e.roles.items()}
    for kind in ("complete", "student"):
        book = new_notebook()
        for position, cell in enumerate(code.cells):
            id, role = places.get(position, ("", ""))
            if cell.kind == "markdown":
                book.cells.append(new_markdown_cell(cell.text))
                continue
            text = complete_text(cell.text) if kind == "complete" else student_text(cell.text, id)
            book.cells.append(new_code_cell(text, metadata={"triton_lab": {"exercise": id, "role": role}}))
        nbformat.write(book, folder / f"{kind}.ipynb")


@pytest.fixture(scope="module")
def under(tmp_path_factory: pytest.TempPathFactory, private_folders: Path) -> Iterator[LabUnderTest]:
    folder = tmp_path_factory.mktemp("tiny")
    source = DATA / "90-Tiny_Lab.py"
    write_notebooks(source, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(DATA))
        yield LabUnderTest(
            LABS["90"],
            source,
            folder / "complete.ipynb",
            folder / "student.ipynb",
            DATA / "lab90_wrong.py",
            (DATA,),
        )


@pytest.fixture(scope="module")
def world(under: LabUnderTest) -> Iterator[World]:
    with World(under).running() as made:
        yield made


@pytest.fixture
def gullible(monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    """90.1 with a check that accepts anything."""
    one = next(c for c in registry.checkpoints("90") if c.id == "90.1")
    weak = dataclasses.replace(one, function=lambda ctx, answers: passed("anything"))
    monkeypatch.setitem(registry._REGISTRY, "90.1", weak)
    return weak


@pytest.fixture
def ids() -> list[Checkpoint]:
    return registry.checkpoints("90")


def test_the_tiny_lab_is_not_one_of_the_projects() -> None:
    assert "90" not in [under.spec.number for under in discover()]


def test_proof_1_holds(under: LabUnderTest, tmp_path: Path) -> None:
    assert complete_problems(under, tmp_path) == []


def test_proof_1_sees_a_wrong_reference_answer(under: LabUnderTest, tmp_path: Path) -> None:
    book = nbformat.read(under.complete, as_version=4)
    for cell in book.cells:
        cell.source = cell.source.replace("argmax(axis=1)", "argmin(axis=1)")
    nbformat.write(book, tmp_path / "wrong.ipynb")
    wrong = dataclasses.replace(under, complete=tmp_path / "wrong.ipynb")
    problems = complete_problems(wrong, tmp_path)
    assert any("90.2" in p and "labels differ" in p for p in problems), problems
    assert any("1 cells failed" in p for p in problems), problems


def test_proof_1_sees_a_notebook_without_checks(under: LabUnderTest, tmp_path: Path) -> None:
    book = nbformat.read(under.complete, as_version=4)
    book.cells = [cell for cell in book.cells if "90.2" not in cell.source]
    nbformat.write(book, tmp_path / "short.ipynb")
    problems = complete_problems(dataclasses.replace(under, complete=tmp_path / "short.ipynb"), tmp_path)
    assert problems == ["90.2: no verdict was stored"]


def test_proof_2_holds(under: LabUnderTest) -> None:
    assert student_problems(under) == []


def test_proof_2_sees_a_solution_and_another_error(under: LabUnderTest, tmp_path: Path) -> None:
    assert any(
        "90.1: PASS" in p for p in student_problems(dataclasses.replace(under, student=under.complete))
    )
    book = nbformat.read(under.student, as_version=4)
    book.cells.append(new_code_cell("1 / 0"))
    nbformat.write(book, tmp_path / "student.ipynb")
    problems = student_problems(dataclasses.replace(under, student=tmp_path / "student.ipynb"))
    assert len(problems) == 1
    assert "ZeroDivisionError" in problems[0]


def test_proof_3_holds_also_when_the_end_is_broken(under: LabUnderTest, tmp_path: Path) -> None:
    assert broken_problems(under, tmp_path, thorough=True) == []


def test_proof_4_holds(world: World, ids: list[Checkpoint]) -> None:
    assert [p for one in ids for p in answers.wrong_answer_problems(world, one)] == []


def test_proof_4_sees_a_check_that_accepts_anything(world: World, gullible: Checkpoint) -> None:
    problems = answers.wrong_answer_problems(world, gullible)
    assert [p.split(": ", 1)[1] for p in problems] == ["PASS, not FAIL"] * 3


def test_proof_4_sees_a_bad_table(
    world: World, ids: list[Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.proofs.kit.wrong import WrongAnswer

    table = world.under.wrong_answers
    always = table["90.1"][0]
    bad = [
        always,
        WrongAnswer("the same message", table["90.1"][0].code, "no request arrived there"),
        WrongAnswer("a typing error", "def is_ready(url, model):\n    return htpx.get(url)", "htpx"),
    ]
    monkeypatch.setitem(world.under._wrong_module.WRONG, "90.1", bad)
    text = "\n".join(answers.wrong_answer_problems(world, ids[0]))
    assert "'always true' gets the message of 'the same message'" in text
    assert "fails by accident" in text
    monkeypatch.setitem(world.under._wrong_module.WRONG, "90.1", bad[:1])
    assert "1 named wrong answers, 3 are needed" in answers.wrong_answer_problems(world, ids[0])[0]


def test_proof_5_holds(world: World, ids: list[Checkpoint]) -> None:
    assert [p for one in ids for p in answers.mutant_problems(world, one)] == []


def test_proof_5_sees_survivors_and_stale_lists(
    world: World, gullible: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(world.under._wrong_module.EQUIVALENT_MUTANTS, "90.1 number: 7 -> 8 in x", "why")
    problems = answers.mutant_problems(world, gullible)
    assert "survivor, not listed as equivalent: 90.1 number: 200 -> 201 in is_ready" in problems
    assert "listed as equivalent, but it dies or is gone: 90.1 number: 7 -> 8 in x" in problems
    assert len(problems) > 6


def test_proof_6_holds(world: World) -> None:
    assert servers.server_problems(world) == []


def test_proof_6_sees_a_check_without_proof_of_the_server(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lab_utils.progress import runner

    world.mend()
    server = world.lab.server
    monkeypatch.setattr(runner, "prove_server", lambda context: (server, {}))
    monkeypatch.setattr(servers, "FAULTS", (servers.a_stale_record,))
    problems = servers.server_problems(world)
    assert [p.split(": ")[-1] for p in problems] == ["PASS, not FAIL"] * 2


def test_only_what_the_student_writes_is_mutated() -> None:
    text = (
        "GIVEN = 1\n\ndef f():\n    ### BEGIN SOLUTION\n    #: say it\n    a = 2\n    return a\n"
        "    ### END SOLUTION\n\nLATER = 3\n\ndef g():\n    ### BEGIN SOLUTION\n    return 4\n"
        "    ### END SOLUTION"
    )
    assert solution_lines(text) == {4, 5, 10}
    keys = [m.key for m in mutants("1.1", parse(complete_text(text)), solution_lines(text))]
    numbers = [key for key in keys if "number" in key]
    assert numbers == ["1.1 number: 2 -> 3 in f", "1.1 number: 4 -> 5 in g"]


def test_mutants_change_one_thing_and_spare_the_rest() -> None:
    tree = parse(
        'import os\n\ndef f(a: int = 3) -> str:\n    """Words."""\n    for i in range(2):\n'
        '        if a == i and not a:\n            a += 1\n    return g(a, key=f"{a}x")\n'
    )
    keys = [mutant.key for mutant in mutants("1.1", tree)]
    assert len(set(keys)) == len(keys)
    for wanted in (
        "1.1 comparison: a == i -> a != i in f",
        "1.1 and/or: a == i and (not a) -> a == i or not a in f",
        "1.1 sign: not a -> a in f",
        "1.1 number: 2 -> 3 in f",
        "1.1 deletion: a += 1 -> nothing in f",
        "1.1 return: return g(a, key=f'{a}x') -> return None in f",
        "1.1 argument: g(a, key=f'{a}x') -> g(a) in f",
    ):
        assert wanted in keys, keys
    assert not any("Words" in key or "import" in key or "3 -> 4" in key for key in keys)
