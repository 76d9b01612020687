"""The complete notebook of a lab, opened by a student in the browser."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path

from playwright.sync_api import Page, expect

from lab_utils.paths import project_root
from lab_utils.progress.labs import LabSpec
from tests.browser.conftest import Jupyter, cell_errors, index_of, open_notebook, run_all, run_until

PICTURES = os.environ.get("TRITON_LAB_SCREENSHOTS")
"""A folder for pictures that a person wants to look at. With it the labs are run whole; without it only the
first part, since proof 1 runs all of them without a browser."""


def screenshot(page: Page, name: str) -> None:
    """Keep a picture of the window when pictures are wanted."""
    if PICTURES:
        Path(PICTURES).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(PICTURES) / f"{name}.png")


def scroll_to(page: Page, index: int) -> None:
    """Bring a cell to the top of the window."""
    page.evaluate(
        "async (i) => await window.jupyterapp.shell.currentWidget.content.scrollToItem(i, 'start')", index
    )


def scroll_to_text(page: Page, text: str) -> None:
    """Bring the first cell whose source has `text` to the top of the window."""
    scroll_to(page, index_of(page, text))


def states(jupyter: Jupyter) -> dict[str, str]:
    """The stored verdicts by exercise."""
    stored = json.loads((jupyter.work / "progress.json").read_text())
    return {id: entry["verdict"]["status"] for id, entry in stored["checkpoints"].items()}


def run_solved(page: Page, jupyter: Jupyter, spec: LabSpec, until: str, skips: Collection[str] = ()) -> None:
    """Open the complete notebook and run it: the cells before `until`, or all when pictures are wanted.

    Every check among them must pass, and no cell may raise.

    Args:
        page: The window.
        jupyter: The running JupyterLab.
        spec: The lab.
        until: Text of the first cell that is not run.
        skips: Exercises that may be skipped on this machine.
    """
    name = f"solved-{spec.notebook}.ipynb"
    shutil.copy(project_root() / "labs_solutions" / f"{spec.notebook}.ipynb", jupyter.work / name)
    open_notebook(page, jupyter, name)
    page.set_default_timeout(1_200_000)
    run_all(page) if PICTURES else run_until(page, until)
    assert cell_errors(page) == []
    end = None if PICTURES else index_of(page, until)
    due = [
        one.id for one in spec.checkpoints() if end is None or index_of(page, f'lab.check("{one.id}")') < end
    ]
    assert due, "no check was run"
    found = states(jupyter)
    assert [
        id for id in due if found.get(id) != "PASS" and not (found.get(id) == "SKIP" and id in skips)
    ] == []
    page.set_default_timeout(30_000)


def show_picture(page: Page, text: str, name: str) -> None:
    """The first picture below the last code cell that has `text` is on the screen."""
    scroll_to_text(page, text)
    image = page.locator(".jp-CodeCell", has_text=text).last.locator(".jp-OutputArea-output img").first
    image.scroll_into_view_if_needed()
    expect(image).to_be_visible()
    screenshot(page, name)


def show_explanation(page: Page, near: str, name: str) -> None:
    """A load that failed on purpose is explained below its cell, without being asked for."""
    scroll_to_text(page, near)
    explained = page.get_by_role("status").filter(has_text="was not loaded").first
    explained.scroll_into_view_if_needed()
    expect(explained).to_contain_text("Mend")
    screenshot(page, name)
