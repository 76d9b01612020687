"""Lab 2 in a real browser: pictures and explanations are on the screen."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from lab_utils.progress.labs import lab_spec
from tests.browser.conftest import Jupyter
from tests.browser.solved import (
    PICTURES,
    run_solved,
    screenshot,
    scroll_to,
    scroll_to_text,
    show_explanation,
    show_picture,
)

pytestmark = [pytest.mark.alone, pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]
SPEC = lab_spec("02")


def test_the_solved_lab_runs_and_shows(page: Page, jupyter: Jupyter) -> None:
    run_solved(page, jupyter, SPEC, until='lab.check("2.3")')
    scroll_to_text(page, "lab.tree(odd)")
    screenshot(page, "lab02-tree")
    show_explanation(page, "draw_diff(", "lab02-explained")
    if PICTURES:
        show_picture(page, "draw_curve(", "lab02-curve")
        scroll_to_text(page, "describe(gallery")
        screenshot(page, "lab02-gallery")
    scroll_to(page, 0)
    screenshot(page, "lab02-start")
