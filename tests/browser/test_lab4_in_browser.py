"""Lab 4 in a real browser: everything runs; curves, traces and the live dashboard are on the screen."""

from __future__ import annotations

import shutil

import pytest
from playwright.sync_api import Page, expect

from lab_utils.monitoring.tools import has_prometheus
from lab_utils.paths import project_root
from lab_utils.progress.labs import lab_spec
from tests.browser.conftest import Jupyter, cell_errors, open_notebook, run_all
from tests.browser.test_lab2_in_browser import scroll_to_text
from tests.browser.test_lab_in_browser import screenshot, scroll_to, states

pytestmark = [pytest.mark.alone, pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1500)]
SPEC = lab_spec("04")


def test_the_solved_lab_runs_and_shows(page: Page, jupyter: Jupyter) -> None:
    name = f"solved-{SPEC.notebook}.ipynb"
    shutil.copy(project_root() / "labs_solutions" / f"{SPEC.notebook}.ipynb", jupyter.work / name)
    open_notebook(page, jupyter, name)
    page.set_default_timeout(1_200_000)
    run_all(page)
    assert cell_errors(page) == []
    skipped = {one.id for one in SPEC.checkpoints() if states(jupyter).get(one.id) == "SKIP"}
    assert skipped == set() or not has_prometheus()
    assert {one.id for one in SPEC.checkpoints() if states(jupyter).get(one.id) == "PASS"} | skipped == {
        one.id for one in SPEC.checkpoints()
    }
    page.set_default_timeout(30_000)
    for text, picture in (
        ("rates.plot(", "lab04-prometheus"),
        ("draw_curve(knee_curve)", "lab04-knee"),
        ("draw_waterfall(", "lab04-trace"),
    ):
        scroll_to_text(page, text)
        image = page.locator(".jp-CodeCell", has_text=text).last.locator(".jp-OutputArea-output img").first
        image.scroll_into_view_if_needed()
        expect(image).to_be_visible()
        screenshot(page, picture)
    scroll_to_text(page, "dashboard.show()")
    panel = page.locator(".jp-CodeCell", has_text="dashboard.show()").last.locator(
        ".jp-OutputArea-output svg"
    )
    expect(panel.first).to_be_visible()
    screenshot(page, "lab04-dashboard")
    scroll_to_text(page, "incident.show()")
    screenshot(page, "lab04-incident")
    scroll_to(page, 0)
    screenshot(page, "lab04-start")
