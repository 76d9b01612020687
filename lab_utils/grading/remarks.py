"""What a teacher should look at before the grades are used: what fits nobody, or more than one."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from lab_utils.grading.batch import Batch
from lab_utils.grading.borrowed import BORROWED
from lab_utils.grading.formats import shared_members
from lab_utils.grading.scoring import is_mistake


def remarks(batch: Batch) -> list[str]:
    """One sentence or two for each doubt; empty when there is none."""
    return [*_members(batch), *_times(batch), *_partial(batch), *_borrowed(batch)]


def _borrowed(batch: Batch) -> Iterator[str]:
    for grade in batch.grades:
        for lab in grade.labs:
            for text in lab.result.changes:
                if BORROWED in text:
                    yield f"{grade.student}, lab {lab.result.lab}: {text}. Look at the executed notebook."


def _members(batch: Batch) -> Iterator[str]:
    """Submissions and the list of students."""
    for student, _ in batch.students:
        if student.doubtful:
            names = ", ".join(
                f"{one.name} ({one.columns['ID']})" if one.columns.get("ID") else one.name
                for one in student.doubtful
            )
            yield (
                f"{student.name} fits several students of the list: {names}. Nothing was guessed, and no "
                "import for Canvas has them. Put the student's number into the name of the submission, "
                "for example doejane_4401_1_lab1.zip, and start again."
            )
        elif batch.listed and student.files and student.member is None:
            yield f"{student.name} is not on the list of students."
    for member, several in shared_members(batch):
        names = ", ".join(one.name for one in several)
        yield (
            f"Several submissions are {member.name}'s: {names}. None of them is in an import for Canvas. "
            "Take out those that do not count, and start again."
        )


def _times(batch: Batch) -> Iterator[str]:
    names = [student.name for student, _ in batch.students]
    for name in batch.unused_times:
        near = difflib.get_close_matches(name, names, n=1)
        also = f" Do you mean {near[0]}?" if near else ""
        yield f"The table of times has {name}, who is no student of this batch.{also}"


def _partial(batch: Batch) -> Iterator[str]:
    """Credit for a mistake that nobody made: perhaps its words are not those of the check."""
    verdicts = [one for grade in batch.grades for lab in grade.labs for one in lab.result.exercises]
    for partial in batch.plan.partial:
        if not any(is_mistake(partial, one) for one in verdicts):
            yield (
                f'[[partial]] of {partial.exercise} fits no verdict of this batch: "{partial.next_step}". '
                "If somebody made this mistake, copy its advice from items.csv, word for word."
            )
