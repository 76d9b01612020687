"""Proofs 4 and 5: wrong answers and mutants are refused, the right answer is not."""

from __future__ import annotations

from typing import Any

from lab_utils.progress.registry import Checkpoint, Status, Verdict
from tests.proofs.kit.labs import execute, parse
from tests.proofs.kit.mutants import Mutant, mutants
from tests.proofs.kit.world import World

# A wrong answer with one of these is no wrong answer but a fault of the table.
_ACCIDENTS = ("NameError", "SyntaxError", "IndentationError", "ImportError", "missing name")


def text_of(verdict: Verdict) -> str:
    """Everything that a student reads of a verdict."""
    return f"{verdict.expected}\n{verdict.found}\n{verdict.next_step}"


def right_answer_problems(world: World, one: Checkpoint) -> tuple[list[str], float]:
    """The control: the reference answer passes (or is skipped with a reason). Also its seconds."""
    verdict, seconds = world.judge(one, dict(world.base))
    if verdict.status is Status.FAIL:
        return [
            f"{one.id}: the reference answer fails: {verdict.found} (expected {verdict.expected})"
        ], seconds
    return [], seconds


def wrong_answer_problems(world: World, one: Checkpoint, least: int = 3) -> list[str]:
    """Proof 4 for one checkpoint."""
    wrongs = world.under.wrong_answers.get(one.id, ())
    problems, _ = right_answer_problems(world, one)
    if len({wrong.name for wrong in wrongs}) < least:
        problems.append(f"{one.id}: {len(wrongs)} named wrong answers, {least} are needed")
    verdicts: list[Verdict | None] = []
    for wrong in wrongs:
        label = f"{one.id}, wrong answer '{wrong.name}'"
        names: dict[str, Any] = dict(world.base)
        try:
            execute(wrong.code, names, label)
        except Exception as error:
            problems.append(f"{label}: its code does not run: {type(error).__name__}: {error}")
            verdicts.append(None)
            continue
        verdict, _ = world.judge(one, names)
        verdicts.append(verdict)
        error = str(verdict.evidence.get("error", ""))
        if verdict.status is not Status.FAIL:
            problems.append(f"{label}: {verdict.status}, not FAIL")
        elif error in (*_ACCIDENTS, "NotImplementedError") and error not in wrong.message:
            problems.append(f"{label}: fails by accident: {verdict.found}")
        elif not wrong.message.strip() or wrong.message.lower() not in text_of(verdict).lower():
            problems.append(f"{label}: the verdict does not say '{wrong.message}': {text_of(verdict)}")
    for wrong, verdict in zip(wrongs, verdicts, strict=True):
        for other in wrongs:
            same = other is not wrong and other.message.lower() in (
                text_of(verdict).lower() if verdict else ""
            )
            if same:
                problems.append(
                    f"{one.id}: '{wrong.name}' gets the message of '{other.name}' ('{other.message}')"
                )
    return problems


def mutants_of(world: World, one: Checkpoint) -> list[Mutant]:
    """All mutants of a checkpoint's reference answer."""
    cells = world.under.code.answer_cells(one.id)
    return [mutant for text, lines in cells for mutant in mutants(one.id, parse(text), lines)]


def mutant_problems(world: World, one: Checkpoint) -> list[str]:
    """Proof 5 for one checkpoint: survivors that are not listed, and listed ones that do not survive."""
    problems, seconds = right_answer_problems(world, one)
    made = mutants_of(world, one)
    if not made:
        problems.append(f"{one.id}: its answer has nothing to mutate")
    # An endless mutant need not wait for the limit of a slow but right answer.
    longest = max(5.0, 3 * seconds)
    listed = {k: why for k, why in world.under.equivalent_mutants.items() if k.split(" ")[0] == one.id}
    survivors = [mutant.key for mutant in made if survives(world, one, mutant, longest)]
    problems += [f"survivor, not listed as equivalent: {key}" for key in survivors if key not in listed]
    problems += [
        f"listed as equivalent, but it dies or is gone: {key}" for key in listed if key not in survivors
    ]
    problems += [
        f"listed as equivalent without a reason: {key}" for key, why in listed.items() if not why.strip()
    ]
    return problems


def survives(world: World, one: Checkpoint, mutant: Mutant, longest: float) -> bool:
    """True when the check does not refuse the mutant."""
    names: dict[str, Any] = dict(world.base)
    try:
        execute(mutant.code, names, mutant.key)
    except Exception:
        return False
    verdict, _ = world.judge(one, names, longest)
    return verdict.status is not Status.FAIL
