"""Lab 3 in a real browser: explanations, and frontier, memory and designs as pictures, are on the screen."""

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
    show_explanation,
    show_picture,
)

pytestmark = [pytest.mark.alone, pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1500)]
SPEC = lab_spec("03")


def test_the_solved_lab_runs_and_shows(page: Page, jupyter: Jupyter) -> None:
    run_solved(page, jupyter, SPEC, until='lab.check("3.4")')
    show_explanation(page, "torch.save(cnn.state_dict()", "lab03-explained")
    if PICTURES:
        show_picture(page, "draw_curve(", "lab03-frontier")
        show_picture(page, "draw_memory(", "lab03-memory")
        show_picture(page, "draw_generation(", "lab03-designs")
    scroll_to(page, 0)
    screenshot(page, "lab03-start")
