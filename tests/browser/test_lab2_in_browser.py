"""Lab 2 in a real browser: everything runs, pictures and explanations are on the screen."""

from __future__ import annotations

import shutil

import pytest
from playwright.sync_api import Page, expect

from lab_utils.paths import project_root
from lab_utils.progress.labs import lab_spec
from tests.browser.conftest import Jupyter, cell_errors, open_notebook, run_all
from tests.browser.test_lab_in_browser import screenshot, scroll_to, states

pytestmark = [pytest.mark.alone, pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]
SPEC = lab_spec("02")
CELLS = "window.jupyterapp.shell.currentWidget.content.widgets"


def scroll_to_text(page: Page, text: str) -> None:
    """Bring the first cell whose source has `text` to the top of the window."""
    index = page.evaluate(
        f"(text) => {CELLS}.findIndex(c => c.model.sharedModel.source.includes(text))", text
    )
    assert index >= 0, f"no cell has {text!r}"
    scroll_to(page, index)


def test_the_solved_lab_runs_and_shows(page: Page, jupyter: Jupyter) -> None:
    name = f"solved-{SPEC.notebook}.ipynb"
    shutil.copy(project_root() / "labs_solutions" / f"{SPEC.notebook}.ipynb", jupyter.work / name)
    open_notebook(page, jupyter, name)
    page.set_default_timeout(600_000)
    run_all(page)
    assert cell_errors(page) == []
    assert {one.id: states(jupyter).get(one.id) for one in SPEC.checkpoints()} == {
        one.id: "PASS" for one in SPEC.checkpoints()
    }
    page.set_default_timeout(30_000)
    scroll_to_text(page, "lab.tree(odd)")
    screenshot(page, "lab02-tree")
    scroll_to_text(page, "draw_curve(")
    expect(page.locator(".jp-OutputArea-output img").first).to_be_visible()
    screenshot(page, "lab02-curve")
    # A load that failed on purpose is explained below its cell, without being asked for.
    scroll_to_text(page, "draw_diff(")
    explained = page.get_by_role("status").filter(has_text="was not loaded")
    explained.first.scroll_into_view_if_needed()
    expect(explained.first).to_contain_text("Mend")
    screenshot(page, "lab02-explained")
    scroll_to_text(page, "describe(gallery")
    screenshot(page, "lab02-gallery")
    scroll_to(page, 0)
    screenshot(page, "lab02-start")
