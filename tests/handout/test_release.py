"""The student package: what is in it, what is not, and the same bytes each time."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import nbformat
import pytest

from lab_utils.errors import LabError
from lab_utils.handout.files import package_files
from lab_utils.handout.pages import FROM_README, section
from lab_utils.handout.release import RELEASE_FILE, Release, package, release
from lab_utils.notebooks.solution import find_blocks, leaks
from lab_utils.notebooks.source import read_source
from lab_utils.paths import project_root
from lab_utils.progress.labs import LABS

ROOT = project_root()
SOURCES = sorted((ROOT / "labs_solutions").glob("*.py"))
LEFT_BEHIND = (
    "labs/01-Triton_Setup_and_Installation-Copy1.ipynb",
    "labs/.ipynb_checkpoints/01-x.ipynb",
    "lab_utils/__pycache__/paths.cpython-311.pyc",
    "model_repository/mnist_mlp/1/model.onnx",
    "work/progress.json",
    "labs_solutions/01.py",
    "hidden/checks.py",
    ".git/HEAD",
)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_folder_and_zip_hold_the_same(released: Release) -> None:
    with zipfile.ZipFile(released.archive) as book:
        packed = {name.partition("/")[2]: book.read(name) for name in book.namelist()}
        assert {name.partition("/")[0] for name in book.namelist()} == {released.folder.name}
    assert packed == contents(released.folder)
    assert len(packed) == released.files
    assert released.sha256 == hashlib.sha256(released.archive.read_bytes()).hexdigest()
    assert released.compared


def test_the_same_course_gives_the_same_bytes(tmp_path: Path) -> None:
    """Another folder, another order on the disk, another umask, newer files, and what a run leaves."""
    one, other = tmp_path / "one", tmp_path / "elsewhere" / "course"
    names = [path.as_posix() for path in package_files(ROOT)]
    for name in names:
        (one / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, one / name)
    for name in reversed(names):
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(one / name, other / name)
        (other / name).chmod(0o600)
    for name in LEFT_BEHIND:
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        (other / name).write_text("left behind")
    (other / "lab_utils" / "linked.py").symlink_to(ROOT / "labs_solutions")
    first = release(tmp_path / "first", one)
    mask = os.umask(0o077)
    try:
        second = release(tmp_path / "second", other)
    finally:
        os.umask(mask)
    assert second.archive.read_bytes() == first.archive.read_bytes()
    assert (second.digest, second.sha256) == (first.digest, first.sha256)


def test_a_package_of_the_package_is_the_package(released: Release) -> None:
    made = package(released.folder)
    assert made == contents(released.folder)


def test_another_course_has_another_digest(released: Release, tmp_path: Path) -> None:
    course = tmp_path / "course"
    shutil.copytree(released.folder, course)
    with (course / "lab_utils" / "errors.py").open("a") as file:
        file.write("# changed\n")
    facts = json.loads(package(course)[RELEASE_FILE])
    assert facts["digest"] != released.digest


def test_nothing_of_the_teachers_is_in_it(released: Release) -> None:
    names = set(contents(released.folder))
    tops = {name.partition("/")[0] for name in names}
    assert not tops & {"labs_solutions", "tests", "benchmarks", "examples", ".git", ".ci", "work", ".venv"}
    assert "docs/instructors.md" not in names
    assert "docs/writing-exercises.md" not in names
    assert {f"labs/{spec.notebook}.ipynb" for spec in LABS.values()} == {
        n for n in names if n.startswith("labs/")
    }
    assert {PurePosixPath(name).suffix for name in names if name.startswith("model_repository/")} == {
        ".py",
        ".pbtxt",
    }


def test_no_solution_stands_in_any_file_of_it(released: Release) -> None:
    """No file has all telling lines of a solution. A block of one or two lines is no secret."""
    assert SOURCES
    packed = contents(released.folder)
    texts = [content.decode() for name, content in packed.items() if not name.endswith(".png")]
    texts += ["\n".join(cell.source for cell in nbformat.reads(packed[name].decode(), 4).cells)
              for name in packed if name.startswith("labs/")]  # fmt: skip
    blocks = [block for source in SOURCES for cell in read_source(source) if cell.kind == "code"
              for block in find_blocks(cell.text)]  # fmt: skip
    long = [block for block in blocks if len([line for line in block.code if line.strip()]) > 2]
    assert len(long) > 40
    found = [block.owner for block in long if leaks(block, texts) is not None]
    # The check of 1.10 has to know which message belongs to which fault: seven letters in a table.
    assert found == ["predict"]
    assert leaks(long[0], ["\n".join(long[0].code)]) == 0, "the search would find it"


def test_what_git_does_not_know_is_not_in_it() -> None:
    answer = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if answer.returncode:
        pytest.skip("not a git clone, so there is no list of its files")
    known = set(answer.stdout.split("\0"))
    packed = {path.as_posix() for path in package_files(ROOT)}
    assert packed - known == set()
    library = {name for name in known if name.startswith(("lab_utils/", "model_repository/", "docker/"))}
    assert {name for name in library if (ROOT / name).is_file()} - packed == set()


def test_every_link_of_its_pages_leads_somewhere(released: Release) -> None:
    pages = sorted(released.folder.rglob("*.md"))
    dead = [
        f"{page.relative_to(released.folder)}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text())
        if "://" not in link and not (page.parent / (link.partition("#")[0] or page.name)).exists()
    ]
    assert len(pages) > 10
    assert dead == []


def test_its_readme_is_the_students_page(released: Release) -> None:
    text = (released.folder / "README.md").read_text()
    assert text.startswith("# Triton Labs for students\n")
    for title in FROM_README:
        assert section(text, title).strip(), title
        assert section(text, title).count("\n") > 3, title
    for word in ("labs_solutions", "make test", "make notebooks", "REPOSITORY_URL", "For authors"):
        assert word not in text, word


def test_its_makefile_knows_what_a_student_needs(released: Release) -> None:
    def make(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
        command = ["make", "-n", *arguments]
        return subprocess.run(command, cwd=released.folder, env=environment, capture_output=True, text=True)

    help_text = subprocess.run(["make", "help"], cwd=released.folder, capture_output=True, text=True).stdout
    assert "make lab" in help_text
    text = (released.folder / "Makefile").read_text()
    assert "PIP_FLAGS" in text
    for word in ("make test", "make lint", "PYTEST_FLAGS", "WORKERS", "jupytext"):
        assert word not in help_text + text, word
    for target in ("lab", "demo", "install", "preflight", "clean"):
        assert make(target, "VENV=none").returncode == 0, target
    assert "triton-lab lab" in make("lab", "VENV=none").stdout
    for target in ("test", "lint", "notebooks"):
        assert "No rule to make target" in make(target).stderr, target


def copied(released: Release, tmp_path: Path) -> Path:
    shutil.copytree(released.folder, tmp_path / "course")
    return tmp_path / "course"


def test_a_notebook_that_somebody_worked_in_is_refused(released: Release, tmp_path: Path) -> None:
    course = copied(released, tmp_path)
    path = course / "labs" / f"{LABS['01'].notebook}.ipynb"
    book = nbformat.read(path, as_version=4)
    code = next(cell for cell in book.cells if cell.cell_type == "code")
    code.outputs = [nbformat.v4.new_output("stream", text="my name is Ada")]
    nbformat.write(book, path)
    with pytest.raises(LabError, match="holds outputs"):
        release(tmp_path / "out", course)
    assert not (tmp_path / "out").exists()


def test_a_complete_notebook_is_refused(released: Release, tmp_path: Path) -> None:
    course = copied(released, tmp_path)
    name = f"{LABS['02'].notebook}.ipynb"
    shutil.copyfile(ROOT / "labs_solutions" / name, course / "labs" / name)
    with pytest.raises(LabError, match="holds solutions"):
        release(tmp_path / "out", course)


@pytest.mark.parametrize("gone", ["constraints.txt", "scripts/preflight.sh", "labs"])
def test_half_a_course_is_refused(released: Release, tmp_path: Path, gone: str) -> None:
    course = copied(released, tmp_path)
    path = course / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(LabError, match=f"does not hold the whole course: .*{gone}"):
        release(tmp_path / "out", course)


def test_what_lies_in_the_way_is_not_overwritten(released: Release, tmp_path: Path) -> None:
    mine = tmp_path / released.folder.name
    mine.mkdir()
    (mine / "grades.csv").write_text("important")
    with pytest.raises(LabError, match="it is no student package"):
        release(tmp_path, released.folder)
    assert (mine / "grades.csv").read_text() == "important"
    assert not (tmp_path / released.archive.name).exists()


def test_an_older_release_is_replaced(released: Release, tmp_path: Path) -> None:
    older = tmp_path / released.folder.name
    older.mkdir()
    (older / RELEASE_FILE).write_text("{}")
    (older / "of-last-year.txt").write_text("old")
    again = release(tmp_path, released.folder)
    assert contents(again.folder) == contents(released.folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == [again.folder.name, again.archive.name]


def test_the_command_says_what_it_wrote(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lab_utils.cli", "release", str(tmp_path / "out")]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    folder, archive = sorted((tmp_path / "out").iterdir())
    assert f"SHA-256 {hashlib.sha256(archive.read_bytes()).hexdigest()}" in answer.stdout
    assert str(folder) in answer.stdout
    assert "were not compared" not in answer.stdout
