"""Lab 1 in a real browser: run everything, press check buttons, see the panel full."""

from __future__ import annotations

import shutil

import pytest
from playwright.sync_api import Page, expect

from lab_utils.paths import project_root
from tests.browser.conftest import Jupyter, cell_errors, open_notebook, run_all, run_until
from tests.browser.solved import PICTURES, screenshot, scroll_to, states

pytestmark = [pytest.mark.alone, pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]
NAME = "01-Triton_Setup_and_Installation.ipynb"
IDS = [f"1.{n}" for n in range(1, 11)]
PRESSED = IDS if PICTURES else IDS[:4]
"""The buttons that are pressed: all of them when pictures are wanted."""


def test_an_untouched_copy_shows_an_open_panel(page: Page, jupyter: Jupyter) -> None:
    """What a student sees first: the notebook in work/, and a panel with ten open exercises."""
    open_notebook(page, jupyter, NAME)
    run_all(page) if PICTURES else run_until(page, 'lab.check("1.5")')
    assert [e for e in cell_errors(page) if not e.startswith("NotImplementedError")] == []
    panel = page.locator(".jp-OutputArea-output", has=page.get_by_role("button", name="Check all")).first
    scroll_to(page, 0)
    expect(panel).to_contain_text("0 of")
    found = states(jupyter)
    assert found
    assert set(found.values()) == {"FAIL"}
    screenshot(page, "lab01-untouched")
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")


def test_the_solved_lab_fills_the_panel(page: Page, jupyter: Jupyter) -> None:
    """All cells run, check buttons are pressed, the panel is full."""
    solved = f"solved-{NAME}"
    shutil.copy(project_root() / "labs_solutions" / NAME, jupyter.work / solved)
    open_notebook(page, jupyter, solved)
    run_all(page)
    assert cell_errors(page) == []
    passed = states(jupyter)
    assert [id for id in IDS if passed.get(id) != "PASS"] == []

    # The last cell has stopped the server: checks must say so now, not repeat an old PASS.
    panel = page.locator(".jp-OutputArea-output", has=page.get_by_role("button", name="Check all")).first
    scroll_to(page, 0)
    panel.scroll_into_view_if_needed()
    expect(panel).to_contain_text("Every exercise is done.")
    screenshot(page, "lab01-panel-full")
    panel.get_by_role("button", name="Check 1.5", exact=True).click()
    expect(panel).to_contain_text("FAIL", timeout=60_000)

    # Start the server again, as the message says, and press the buttons.
    page.evaluate(
        """async (code) => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            await kernel.requestExecute({code}).done;
        }""",
        "server = lab.start('--model-control-mode=explicit', '--load-model=*')",
    )
    for id in PRESSED:
        button = panel.get_by_role("button", name=f"Check {id}", exact=True)
        button.click()
        expect(panel.locator(".jupyter-widgets", has_text=f"{id}").last).to_contain_text(
            "PASS", timeout=120_000
        )
        expect(button).to_be_enabled(timeout=120_000)
    expect(panel).to_contain_text("Every exercise is done.")
    assert {id: states(jupyter)[id] for id in IDS} == dict.fromkeys(IDS, "PASS")
    screenshot(page, "lab01-buttons-pressed")


def test_the_panel_comes_back_after_a_kernel_restart(page: Page, jupyter: Jupyter) -> None:
    """A restarted kernel knows the progress, and finds the server that still runs."""
    open_notebook(page, jupyter, f"solved-{NAME}")
    page.evaluate(
        """async () => {
            const widget = window.jupyterapp.shell.currentWidget;
            await widget.sessionContext.session.kernel.restart();
            await widget.sessionContext.session.kernel.info;
            const cells = widget.content.widgets;
            const first = cells.findIndex(c => c.model.type === 'code');
            widget.content.activeCellIndex = first;
            await window.jupyterapp.commands.execute('notebook:run-cell');
        }"""
    )
    panel = page.locator(".jp-OutputArea-output", has=page.get_by_role("button", name="Check all")).first
    expect(panel).to_contain_text("Every exercise is done.")
    output = page.locator(".jp-OutputArea-output", has_text="Server:").first
    expect(output).to_contain_text("127.0.0.1:")
