"""Lab 4 in a real browser: what Prometheus measured and the live dashboard are on the screen."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from lab_utils.monitoring.tools import has_prometheus
from lab_utils.progress.labs import lab_spec
from tests.browser.conftest import Jupyter, cell_errors, run_cell
from tests.browser.solved import (
    PICTURES,
    run_solved,
    screenshot,
    scroll_to,
    scroll_to_text,
    show_picture,
)

pytestmark = [pytest.mark.alone, pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1500)]
SPEC = lab_spec("04")


def test_the_solved_lab_runs_and_shows(page: Page, jupyter: Jupyter) -> None:
    needs = set() if has_prometheus() else {one.id for one in SPEC.checkpoints()}
    run_solved(page, jupyter, SPEC, until='lab.check("4.3")', skips=needs)
    if has_prometheus():
        show_picture(page, "rates.plot(", "lab04-prometheus")
    if PICTURES:
        show_picture(page, "draw_curve(knee_curve)", "lab04-knee")
        show_picture(page, "draw_waterfall(", "lab04-trace")
        scroll_to_text(page, "incident.show()")
        screenshot(page, "lab04-incident")
    else:
        run_cell(page, "dashboard.show()")
    scroll_to_text(page, "dashboard.show()")
    cell = page.locator(".jp-CodeCell", has_text="dashboard.show()").last
    expect(cell.locator(".jp-OutputArea-output svg").first).to_be_visible()
    assert cell_errors(page) == []
    screenshot(page, "lab04-dashboard")
    scroll_to(page, 0)
    screenshot(page, "lab04-start")
