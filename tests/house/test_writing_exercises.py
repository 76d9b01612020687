"""docs/writing-exercises.md, followed word for word: its files are written, its commands are run, in a copy.

A step is `**New file `PATH`:**` or `**Append to `PATH`:**` with the block of code below it, or a block
`console`: each line behind `$ ` is run, and the lines below it must stand in what it prints.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab_utils import paths
from lab_utils.handout.files import package_files

ROOT = paths.project_root()
PAGE = ROOT / "docs" / "writing-exercises.md"
SECONDS = 1200
_STEP = re.compile(
    r"^\*\*(?P<what>New file|Append to) `(?P<path>[^`]+)`:\*\*\n\n"
    r"(?P<fence>`{3,})python\n(?P<text>.*?)^(?P=fence)$"
    r"|^```console\n(?P<console>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Step:
    """A file to write, or a command with what it must print. The other fields are empty."""

    what: str
    path: str = ""
    text: str = ""
    command: str = ""
    printed: tuple[str, ...] = ()


def steps(page: str) -> list[Step]:
    """The steps of a page, in order."""
    found = []
    for match in _STEP.finditer(page):
        if match["what"]:
            found.append(Step(match["what"], path=match["path"], text=match["text"]))
            continue
        for part in re.split(r"^\$ ", match["console"], flags=re.MULTILINE)[1:]:
            command, *printed = part.rstrip("\n").split("\n")
            found.append(Step("Run", command=command, printed=tuple(printed)))
    return found


def follow(step: Step, course: Path) -> list[str]:
    """Do what a step says, and say what is wrong."""
    path = course / step.path
    if step.what == "New file":
        if path.exists():
            return [f"{step.path} is there already"]
        path.write_text(step.text)
    elif step.what == "Append to":
        path.write_text(f"{path.read_text()}\n\n{step.text}")
    else:
        environment = {**os.environ, "PYTHONPATH": str(course)}
        environment["TRITON_LAB_TEST_CACHE"] = environment["TRITON_LAB_CACHE"]
        environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
        for name in [name for name in environment if name.startswith("PYTEST_")]:
            del environment[name]
        said = run(step.command, course, environment)
        return [f"$ {step.command}\n{line!r} is not in:\n{said}" for line in step.printed if line not in said]
    return []


def run(command: str, folder: Path, environment: dict[str, str]) -> str:
    """What a command prints. One that takes too long is ended with everything that it started."""
    process = subprocess.Popen(
        command, shell=True, cwd=folder, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        return process.communicate(timeout=SECONDS)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0] + f"\n(ended after {SECONDS} s)"


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with what an author needs: the package, the sources, and the proofs."""
    folder = tmp_path_factory.mktemp("author") / "course"
    names = [path.as_posix() for path in package_files(ROOT)]
    for pattern in ("labs_solutions/*", "tests/*.py", "tests/proofs/**/*", "tests/labs/*"):
        names += [path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern) if path.is_file()]
    for name in names:
        if "__pycache__" not in name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


def test_the_page_has_all_its_steps() -> None:
    found = steps(PAGE.read_text())
    files = [step.path for step in found if step.path]
    assert [Path(path).parts[0] for path in files] == ["labs_solutions", "lab_utils", "lab_utils", "tests"]
    commands = [step for step in found if step.what == "Run"]
    assert len(commands) == 5
    assert all(step.printed for step in commands), "a command that prints nothing proves nothing"
    assert "tests/proofs" in commands[-1].command


@pytest.mark.live
@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_an_exercise_from_nothing_as_the_page_says(course: Path) -> None:
    for step in steps(PAGE.read_text()):
        problems = follow(step, course)
        assert not problems, "\n".join(problems)


def test_a_step_that_does_not_come_true_is_seen(tmp_path: Path) -> None:
    (tmp_path / "there.py").write_text("x = 1\n")
    page = (
        "**New file `there.py`:**\n\n```python\ny = 2\n```\n\n"
        "**Append to `there.py`:**\n\n```python\ny = 2\n```\n\n"
        "```console\n$ cat there.py\ny = 2\n$ echo one\ntwo\n```\n"
    )
    problems = [follow(step, tmp_path) for step in steps(page)]
    assert [bool(found) for found in problems] == [True, False, False, True]
    assert "'two' is not in:\none" in problems[3][0]
