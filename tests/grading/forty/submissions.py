"""The forty: each has a name, what stands in it, and what it must earn."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nbformat import NotebookNode

from lab_utils.progress.labs import LABS
from tests.grading.batch.made import FOREIGN
from tests.grading.forty import changes
from tests.grading.forty.attacks import ATTACKS, PART

ALL = "all"
NONE: frozenset[str] = frozenset()
LABS_OF_THE_COURSE = ("01", "02", "03", "04")
WRONG_IN_LAB_1 = 16  # the most wrong answers that an exercise of Lab 1 has
WRONG_IN_ALL = 1  # so many of them hold the wrong answers of the other labs, too


@dataclass(frozen=True)
class Submission:
    """One student's.

    Attributes:
        name: The student.
        notebooks: What makes each lab's notebook.
        earns: The exercises that pass in each lab: ids, or all of them; a lab that is not here earns nothing.
        causes: Why a lab gave no full answer; labs without a notebook are `missing` by themselves.
        says: Words that the verdict of an exercise must hold.
        changed: Words that the list of what was put back in Lab 1 must hold.
        kind: How it is handed in: `folder`, `zip`, `notebook` (alone, under a name of its own), `raw`.
        raw: Files of a submission of the kind `raw`.
    """

    name: str
    notebooks: Mapping[str, Callable[[], NotebookNode]] = field(default_factory=dict)
    earns: Mapping[str, frozenset[str] | str] = field(default_factory=dict)
    causes: Mapping[str, str] = field(default_factory=dict)
    says: Mapping[str, str] = field(default_factory=dict)
    changed: str = ""
    kind: str = "folder"
    raw: Mapping[str, bytes] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Hand it in."""
        # Not by nbformat: it would mend what a student broke.
        texts = {lab: json.dumps(make()) for lab, make in self.notebooks.items()}
        if self.kind == "notebook":
            (folder / f"{self.name}.ipynb").write_text(next(iter(texts.values())))
        elif self.kind == "zip":
            with zipfile.ZipFile(folder / f"{self.name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                for lab, text in texts.items():
                    archive.writestr(f"work/my lab {int(lab)} (final).ipynb", text)
        else:
            (folder / self.name).mkdir()
            for lab, text in texts.items():
                (folder / self.name / f"{LABS[lab].notebook}.ipynb").write_text(text)
            for name, content in self.raw.items():
                (folder / self.name / name).write_bytes(content)


def forty(port: int, secrets: list[str]) -> list[Submission]:
    """All of them.

    Args:
        port: Of a server outside of the sandbox, which no submission may reach.
        secrets: Folders that no submission may see.
    """
    everything = dict.fromkeys(LABS_OF_THE_COURSE, ALL)
    return [
        Submission("complete", _each(changes.solved), everything),
        Submission("unusual", _each(changes.unusual), everything, kind="zip"),
        Submission("untouched", _each(changes.released), says=_unsolved()),
        Submission("one-lab-alone", {"01": lambda: changes.solved("01")}, {"01": ALL}, kind="notebook"),
        *(_wrong(number) for number in range(WRONG_IN_LAB_1)),
        *(_attack(name, port, secrets) for name in ATTACKS),
        Submission("foreign", kind="raw", raw={"essay.ipynb": FOREIGN}, causes=_all("foreign")),
        Submission(
            "broken-json", kind="raw", raw={"lab1.ipynb": b'{"cells": [{"cell'}, causes=_all("unreadable")
        ),
        Submission("empty", kind="raw"),
    ]


def for_the_gate() -> list[Submission]:
    """Two whose notebooks need little time: one that must earn its points, one that must not."""
    unusual = Submission(
        "unusual", {"01": lambda: changes.unusual("01", only=PART)}, {"01": PART}, kind="zip"
    )
    return [unusual, _attack("edited-checks", 0, [])]


def _attack(name: str, port: int, secrets: list[str]) -> Submission:
    one = ATTACKS[name]
    causes = {"01": one.cause} if one.cause else {}
    return Submission(
        name, {"01": lambda: one.make(port, secrets)}, {"01": one.earns}, causes, one.says, one.changed
    )


def _wrong(number: int) -> Submission:
    labs = LABS_OF_THE_COURSE if number < WRONG_IN_ALL else ("01",)
    return Submission(
        f"wrong-{number + 1:02d}",
        {lab: lambda lab=lab: changes.wrong(lab, number) for lab in labs},  # type: ignore[misc]
        says={id: one.message for lab in labs for id, one in changes.wrong_answers(lab, number).items()},
    )


def _each(make: Callable[[str], NotebookNode]) -> dict[str, Callable[[], NotebookNode]]:
    return {lab: lambda lab=lab: make(lab) for lab in LABS_OF_THE_COURSE}  # type: ignore[misc]


def _all(cause: str) -> dict[str, str]:
    return dict.fromkeys(LABS_OF_THE_COURSE, cause)


def _unsolved() -> dict[str, str]:
    return {
        one.id: "not solved yet" for lab in LABS_OF_THE_COURSE for one in changes.under(lab).checkpoints()
    }
