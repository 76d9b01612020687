"""Hidden checks: an instructor's own checkpoints, kept outside the student tree and loaded from their text.

A hidden check has the form of every checkpoint. Its id is the exercise's, and one number more:
`"1.5.1"` is the first hidden check of exercise 1.5. It runs right after the exercise's own check,
with the same answers, against the same server. The text travels to the judge through a pipe and is
never a file that a student's process could read.
"""

from __future__ import annotations

import difflib
import linecache
import re
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from lab_utils.errors import LabError
from lab_utils.progress import registry
from lab_utils.progress.labs import LABS
from lab_utils.progress.registry import Checkpoint

_ID = re.compile(r"[1-9]\d*\.[1-9]\d*\.[1-9]\d*")
_FORM = 'Give it the exercise\'s id and one number more: `@checkpoint("1.5.1", ...)`.'


def exercise_of(id: str) -> str:
    """The exercise that a check belongs to: `"1.5"` for `"1.5.1"` and for `"1.5"`."""
    return ".".join(id.split(".")[:2])


def is_hidden(id: str) -> bool:
    """Whether an id is one of a hidden check."""
    return _ID.fullmatch(id) is not None


def read_sources(folder: Path) -> dict[str, str]:
    """The text of every `*.py` of a folder, by file name, in order.

    Raises:
        LabError: The folder is not there, holds no Python file, or one cannot be read as text.
    """
    if not folder.is_dir():
        raise LabError(
            f"The folder of hidden checks {folder} does not exist.",
            fix="Make it, or take `hidden` out of course.toml.",
        )
    try:
        sources = {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py"))}
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(
            f"The hidden checks in {folder} cannot be read.", why=str(error), fix="Save them as UTF-8 text."
        ) from error
    if not sources:
        raise LabError(
            f"The folder of hidden checks {folder} holds no Python file.",
            fix="Put a file with a checkpoint there, or take `hidden` out of course.toml.",
        )
    return sources


def load_hidden(sources: Mapping[str, str]) -> tuple[Checkpoint, ...]:
    """Run the text of hidden checks and collect their checkpoints.

    They are not added to the registry: no student's check, panel or progress ever meets them.

    Args:
        sources: Python text by file name. It is trusted: the instructor wrote it.

    Returns:
        The checkpoints, in the order of their ids.

    Raises:
        LabError: A file does not run, a checkpoint has no proper id, or an id is there twice.
    """
    found: list[Checkpoint] = []
    for name, text in sources.items():
        found += _load(name, text)
    for one in found:
        _refuse_wrong_id(one)
    ids = [one.id for one in found]
    twice = sorted({id for id in ids if ids.count(id) > 1})
    if twice:
        raise LabError(f"There are two hidden checks {twice[0]}.", fix="Give each an id of its own.")
    return tuple(sorted(found, key=lambda one: [int(part) for part in one.id.split(".")]))


def _load(name: str, text: str) -> list[Checkpoint]:
    """The checkpoints of one file."""
    for spec in LABS.values():
        spec.checkpoints()  # imported now, so that none of theirs is taken for a new one
    before = dict(registry._REGISTRY)
    module = ModuleType(f"hidden_{Path(name).stem}")
    file = f"<hidden {name}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)  # for tracebacks
    sys.modules[module.__name__] = module  # a dataclass looks its module up
    registry._REGISTRY.clear()  # so that an id of the course is taken, and refused with words of its own
    try:
        exec(compile(text, file, "exec"), module.__dict__)
        return list(registry._REGISTRY.values())
    except (Exception, SystemExit) as error:
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file
        ]
        line = lines[-1] if lines else getattr(error, "lineno", None)
        raise LabError(
            f"The hidden checks in {name} do not run.",
            why=f"{type(error).__name__}: {error}" + (f" (line {line})" if line else ""),
            fix="Run the file with Python, mend it, then start again.",
        ) from error
    finally:
        registry._REGISTRY.clear()
        registry._REGISTRY.update(before)


def _refuse_wrong_id(one: Checkpoint) -> None:
    spec = LABS.get(one.lab)
    exercises = [own.id for own in spec.checkpoints()] if spec else []
    if one.id in exercises:
        raise LabError(
            f"The hidden check {one.id!r} has the id of an exercise.",
            fix=f'Give it one number more: `@checkpoint("{one.id}.1", ...)`.',
        )
    if not is_hidden(one.id):
        raise LabError(f"The hidden check {one.id!r} has an id of another form.", fix=_FORM)
    if exercise_of(one.id) not in exercises:
        raise LabError(
            f"The hidden check {one.id} belongs to no exercise: there is no {exercise_of(one.id)}.",
            fix=_FORM,
        )
    known = {name for own in LABS[one.lab].checkpoints() for name in own.answers}
    for name in one.answers:
        if name not in known:  # a typing error would be a FAIL for the whole class
            near = difflib.get_close_matches(name, known, n=1)
            also = f" Do you mean `{near[0]}`?" if near else ""
            raise LabError(
                f"The hidden check {one.id} asks for `{name}`, which no exercise of lab {one.lab} defines.",
                fix=f"Ask for names that students must define.{also}",
            )
