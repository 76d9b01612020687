"""What is committed: no machine path, no registry host, no left-over, no output in a student's notebook."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab_utils import paths

ROOT = paths.project_root()
# Written in two parts so that this file does not find itself.
MACHINE_PATH = re.compile(
    r"(?<![\w.$}~-])/(?:wo"
    r"rk|ro"
    r"ot|home/(?!me\b|user\b|you\b)[a-z][\w-]*|opt/(?:wheels|pypi)|tmp/w)(?:/|\b)"
)
REGISTRY = re.compile(
    r"py"
    r"pi\.org|python"
    r"hosted\.org|download\.py"
    r"torch\.org|registry\.npm"
    r"js\.org|conda\.ana"
    r"conda\.org"
)
LEFT_OVER = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX)\b")
TEXT = {".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".json", ".ipynb", ".sh", ".pbtxt", ".cfg", ""}


def names() -> Iterator[str]:
    """Names of the files that are, or will be, in the repository: everything git does not ignore."""
    answer = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        pytest.skip("not a git clone (perhaps a downloaded archive), so there is no list of its files")
    for name in filter(None, answer.stdout.split("\0")):
        if (ROOT / name).is_file():
            yield name


def committed() -> Iterator[Path]:
    """Those of them that are text."""
    yield from (ROOT / name for name in names() if Path(name).suffix in TEXT)


def found(pattern: re.Pattern[str], files: Iterator[Path]) -> list[str]:
    """`file:line: text` of every match."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in files
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_path_of_somebodys_machine():
    # In .gitignore a leading slash means the project's own folder.
    assert found(MACHINE_PATH, (p for p in committed() if p.name != ".gitignore")) == []


def test_no_package_registry_is_named():
    assert found(REGISTRY, committed()) == []


def test_nothing_is_left_over():
    folders = ("lab_utils", "labs_solutions", "docs")
    assert found(LEFT_OVER, (p for p in committed() if p.relative_to(ROOT).parts[0] in folders)) == []


def test_the_patterns_find_what_they_are_for():
    """A check that cannot fail is none."""
    assert MACHINE_PATH.search("see /wo" + "rk/main/x.py")
    assert MACHINE_PATH.search('"/home/' + 'anna/labs"')
    assert not MACHINE_PATH.search("your copies in work/ and {root}/work/lab01, $PWD/work, docs/root")
    assert REGISTRY.search("https://py" + "pi.org/simple")
    assert LEFT_OVER.search("# TO" + "DO: later")


def test_student_notebooks_carry_no_output_and_no_solution():
    notebooks = sorted((ROOT / "labs").glob("*.ipynb"))
    assert notebooks, "labs/ is empty: make notebooks"
    for path in notebooks:
        cells = json.loads(path.read_text())["cells"]
        code = [c for c in cells if c["cell_type"] == "code"]
        assert code
        assert [c["id"] for c in code if c["outputs"] or c["execution_count"] is not None] == [], path.name
        text = "\n".join("".join(c["source"]) for c in cells)
        assert "SOLUTION" not in text, path.name
        assert "NotImplementedError" in text, path.name


def test_no_large_or_binary_file_is_committed():
    """Models are built on the student's machine."""
    answer = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        pytest.skip("not a git clone, so there is no list of its files")
    files = [ROOT / name for name in answer.stdout.split("\0") if name]
    assert [p.name for p in files if p.is_file() and p.stat().st_size > 1_000_000] == []
    assert [p.name for p in files if p.suffix in (".onnx", ".pt", ".so", ".whl")] == []
