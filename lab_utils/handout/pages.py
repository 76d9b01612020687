"""The package's pages: links to what the teacher keeps become text, README.md is the students' page."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePosixPath
from posixpath import normpath, relpath

from lab_utils.errors import LabError

STUDENTS_PAGE = "docs/students.md"
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
# What the students' page does not say itself, word for word from the project's own README.md.
FROM_README = (
    "What is in it",
    "How it runs",
    "Requirements",
    "The command `triton-lab`",
    "If something goes wrong",
    "Honest limits",
)


def without_dead_links(text: str, page: str, files: Collection[str]) -> str:
    """Turn every relative link of a page that would lead nowhere in the package into its words.

    Args:
        text: The page's Markdown.
        page: Its path in the package, for example `docs/llama.md`.
        files: Paths of all files in the package.
    """
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents}

    def keep(match: re.Match[str]) -> str:
        target = match[3].partition("#")[0]
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        path = normpath(str(PurePosixPath(page).parent / target))
        return match[0] if path in files or path in folders else match[2]

    return _LINK.sub(keep, text)


def moved(text: str, page: str, to: str) -> str:
    """Write a page's relative links anew, for its place in another folder.

    Args:
        text: The page's Markdown.
        page: Where it is.
        to: Where it will be.
    """

    def rewrite(match: re.Match[str]) -> str:
        target, mark, anchor = match[3].partition("#")
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        path = normpath(str(PurePosixPath(page).parent / target))
        new = relpath(path, str(PurePosixPath(to).parent))
        return f"{match[1]}[{match[2]}]({new}{mark}{anchor})"

    return _LINK.sub(rewrite, text)


def section(text: str, title: str) -> str:
    """One `## title` section of a page, heading included; empty when the page has none of this name."""
    found = re.search(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[0].rstrip() + "\n" if found else ""


def student_readme(readme: str, students: str) -> str:
    """README.md of the package: the students' page, then what the project's README says about the course.

    Args:
        readme: The project's README.md.
        students: `docs/students.md`.

    Raises:
        LabError: The README lost a section that students need.
    """
    missing = [title for title in FROM_README if not section(readme, title)]
    if missing:
        raise LabError(
            f"README.md has no section {', '.join(missing)}.",
            why="The README of the student package takes it from there.",
            fix="Put it back, or change FROM_README in lab_utils/handout/pages.py.",
        )
    parts = [moved(students, STUDENTS_PAGE, "README.md").rstrip() + "\n"]
    parts += [section(readme, title) for title in FROM_README]
    return "\n".join(parts) + "\nLicence: [Apache 2.0](LICENSE).\n"


def student_makefile(makefile: str) -> str:
    """The Makefile without the targets for authors, which need the tests and the sources."""
    gone = ("test", "lint", "notebooks")
    variables = ("PYTEST_FLAGS", "WORKERS", "TEST_EXTRAS", "SUBMAKE")
    kept = []
    for block in makefile.split("\n\n"):
        if re.search(rf"^(?:{'|'.join(gone)}):", block, re.MULTILINE):
            continue
        lines = []
        for line in block.split("\n"):
            if re.match(rf"(?:{'|'.join(variables)}) *[?:]?=", line):
                continue
            if line.startswith("#") and re.search(
                rf"\bmake (?:{'|'.join(gone)})\b|{'|'.join(variables)}", line
            ):
                continue
            if line.startswith(".PHONY:"):
                line = " ".join(word for word in line.split(" ") if word not in gone)
            lines.append(line)
        kept.append("\n".join(lines))
    return "\n\n".join(kept).rstrip("\n") + "\n"
