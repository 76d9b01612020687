"""What a batch found, against what every submission must earn."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lab_utils.grading.sandbox import _FIRST_USER, _USERS
from tests.grading.forty.submissions import ALL, NONE, Submission


def problems_of(submissions: Iterable[Submission], out: Path) -> list[str]:
    """Every difference in words; nothing when all is as it must be."""
    found = {one["student"]: one for one in _students(out)}
    problems = []
    for one in submissions:
        if one.name not in found:
            problems.append(f"{one.name}: it has no row")
            continue
        for lab in found[one.name]["labs"]:
            problems += [f"{one.name}, {text}" for text in _lab_problems(one, lab)]
    return problems


def _lab_problems(one: Submission, lab: dict[str, Any]) -> list[str]:
    number, cause = lab["lab"], lab["cause"]
    missing = "" if number in one.notebooks else "missing"
    wanted = one.causes.get(number, missing)
    problems = []
    if cause != wanted:
        problems.append(f"lab {number}: the cause is {cause!r}, not {wanted!r}: {lab['reason']}")
    if not lab["confined"]:
        problems.append(f"lab {number}: it ran without a sandbox")
    if number == "01" and one.changed and not any(one.changed in text for text in lab["changes"]):
        problems.append(f"lab {number}: no change says {one.changed!r}: {lab['changes']}")
    right = one.earns.get(number, NONE)
    for exercise in lab["exercises"]:
        id, status = exercise["id"], exercise["status"]
        words = " ".join([exercise["expected"], exercise["found"], exercise["next_step"]])
        good = right == ALL or id in right
        # What this machine cannot ask (no GPU, no container engine) is nobody's point and nobody's fault.
        points = exercise["points"] if good and status != "SKIP" else 0
        if exercise["earned"] != points or (status == "FAIL") is good:
            problems.append(f"{id}: {status}, {exercise['earned']} of {exercise['points']} points: {words}")
        elif status == "FAIL" and one.says.get(id, "").lower() not in words.lower():
            problems.append(f"{id}: it does not say {one.says[id]!r}: {words}")
        elif "so it is" in words:
            problems.append(f"{id}: it says what the submission wrote: {words}")
    return problems


def seconds_of(out: Path) -> str:
    """A table: the seconds of each notebook, and of each submission one lab after the other."""
    lines = []
    for one in _students(out):
        ran = {lab["lab"]: lab["seconds"] for lab in one["labs"] if lab["seconds"]}
        each = ", ".join(f"lab {lab}: {seconds:.0f}" for lab, seconds in ran.items())
        lines.append(f"{one['student']:22} {sum(ran.values()):6.0f} s  {one['points']:>5} points  {each}")
    return "\n".join(lines)


def facts_of(folders: Sequence[Path]) -> dict[Path, tuple[int, int]]:
    """Size and time of every file below some folders, without what Python and tools keep for themselves."""
    facts = {}
    for folder in folders:
        for top, below, files in os.walk(folder):
            below[:] = [name for name in below if name != "__pycache__" and not name.startswith(".")]
            for name in files:
                path = Path(top, name)
                known = path.lstat()
                facts[path] = (known.st_size, known.st_mtime_ns)
    return facts


def left_by_runs(folders: Sequence[Path]) -> list[Path]:
    """Files that belong to the users of the runs: none of them has anything outside of its sandbox."""
    users = range(_FIRST_USER, _FIRST_USER + _USERS)
    return [path for folder in folders for path in folder.iterdir() if path.lstat().st_uid in users]


def _students(out: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((out / "grades.json").read_text())["students"]
    return found
