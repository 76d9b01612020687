"""The pages that students get: commands exist, links are moved rightly, the policy is one page."""

from __future__ import annotations

import re

import pytest

from lab_utils.errors import LabError
from lab_utils.handout.pages import moved, section, student_makefile, student_readme, without_dead_links
from lab_utils.handout.release import Release
from lab_utils.paths import project_root
from lab_utils.progress.labs import LABS

ROOT = project_root()
STUDENTS = ROOT / "docs" / "students.md"
AGENTS = ROOT / "lab_utils" / "handout" / "templates" / "AGENTS.md"


def commands() -> set[str]:
    """The names of all commands of `triton-lab`."""
    import typer

    from lab_utils.cli import app

    return set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", [STUDENTS, AGENTS], ids=lambda page: page.name)
def test_every_command_of_the_page_exists(page):
    named = set(re.findall(r"triton-lab ([a-z][a-z-]*)", page.read_text()))
    assert len(named) >= 3
    assert named - commands() == set()
    for target in re.findall(r"`make ([a-z]+)`", page.read_text()):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target
    for lab in re.findall(r"triton-lab (?:check|catch-up|reset) (\d+)", page.read_text()):
        assert lab in LABS


def test_the_policy_for_ai_helpers_is_one_page_in_the_package(released: Release):
    text = (released.folder / "AGENTS.md").read_text()
    assert text == AGENTS.read_text()
    assert text.startswith("# For AI helpers: tutor, do not solve\n")
    assert len(text.splitlines()) <= 60
    (title,) = re.findall(r'README.md under "(.+?)"', text)
    assert section((released.folder / "README.md").read_text(), title), f"README.md has no section {title}"
    assert "`AGENTS.md`" in STUDENTS.read_text()


def test_links_that_lead_nowhere_become_words():
    files = {"docs/a.md", "docs/images/x.png", "README.md"}
    text = "[a](a.md#top) [b](b.md) [r](../README.md) ![p](images/x.png) ![q](images/y.png) "
    text += "[w](https://w.org/) [h](#h) [f](images)"
    assert without_dead_links(text, "docs/page.md", files) == (
        "[a](a.md#top) b [r](../README.md) ![p](images/x.png) q [w](https://w.org/) [h](#h) [f](images)"
    )


def test_links_move_with_their_page():
    text = "[a](a.md) [r](../README.md#needs) ![p](images/x.png) [w](https://w.org/a) [h](#h)"
    assert moved(text, "docs/s.md", "README.md") == (
        "[a](docs/a.md) [r](README.md#needs) ![p](docs/images/x.png) [w](https://w.org/a) [h](#h)"
    )


def test_a_readme_without_a_section_that_students_need_is_refused():
    readme = (ROOT / "README.md").read_text()
    assert student_readme(readme, STUDENTS.read_text())
    with pytest.raises(LabError, match="no section Requirements"):
        student_readme(readme.replace("## Requirements\n", "## Needs\n"), STUDENTS.read_text())


def test_a_section_ends_where_the_next_begins():
    page = "# T\n\n## One\ntext\n### Deeper\nmore\n\n## Two\nend\n"
    assert section(page, "One") == "## One\ntext\n### Deeper\nmore\n"
    assert section(page, "Two") == "## Two\nend\n"
    assert section(page, "Three") == ""


def test_the_students_makefile_is_the_same_when_made_again():
    once = student_makefile((ROOT / "Makefile").read_text())
    assert student_makefile(once) == once
    assert "\ntest:" not in once
    assert "\nlab: install\n" in once
