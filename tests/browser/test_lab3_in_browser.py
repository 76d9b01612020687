"""Lab 3 in a real browser: everything runs; frontier, memory and designs are pictures on the screen."""

from __future__ import annotations

import shutil

import pytest
from playwright.sync_api import Page, expect

from lab_utils.paths import project_root
from lab_utils.progress.labs import lab_spec
from tests.browser.conftest import Jupyter, cell_errors, open_notebook, run_all
from tests.browser.test_lab2_in_browser import scroll_to_text
from tests.browser.test_lab_in_browser import screenshot, scroll_to, states

pytestmark = [pytest.mark.alone, pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1500)]
SPEC = lab_spec("03")


def test_the_solved_lab_runs_and_shows(page: Page, jupyter: Jupyter) -> None:
    name = f"solved-{SPEC.notebook}.ipynb"
    shutil.copy(project_root() / "labs_solutions" / f"{SPEC.notebook}.ipynb", jupyter.work / name)
    open_notebook(page, jupyter, name)
    page.set_default_timeout(1_200_000)
    run_all(page)
    assert cell_errors(page) == []
    assert {one.id: states(jupyter).get(one.id) for one in SPEC.checkpoints()} == {
        one.id: "PASS" for one in SPEC.checkpoints()
    }
    page.set_default_timeout(30_000)
    for text, picture in (
        ("draw_curve(", "lab03-frontier"),
        ("draw_memory(", "lab03-memory"),
        ("draw_generation(", "lab03-designs"),
    ):
        scroll_to_text(page, text)
        image = page.locator(".jp-CodeCell", has_text=text).last.locator(".jp-OutputArea-output img").first
        image.scroll_into_view_if_needed()
        expect(image).to_be_visible()
        screenshot(page, picture)
    scroll_to_text(page, "torch.save(cnn.state_dict()")
    explained = page.get_by_role("status").filter(has_text="was not loaded")
    explained.first.scroll_into_view_if_needed()
    screenshot(page, "lab03-explained")
    scroll_to(page, 0)
    screenshot(page, "lab03-start")
