"""A real JupyterLab, started the way `make lab` starts it, and a real Chromium that opens it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Error, Page, sync_playwright

from lab_utils.server.ports import free_ports

START_SECONDS = 120
_NOTEBOOK = "window.jupyterapp.shell.currentWidget.content"
_QUIET = [
    "--no-sandbox",  # Chromium refuses its sandbox for root, as which CI runs
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Jupyter:
    """A running JupyterLab on a work folder of its own."""

    url: str
    token: str
    work: Path
    log: Path


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    """`triton-lab lab` on loopback, with a token; ended with Ctrl-C's signal at the end."""
    root = tmp_path_factory.mktemp("browser")
    work, log, token, (port,) = root / "work", root / "jupyter.log", secrets.token_hex(16), free_ports(1)
    environment = {
        **os.environ,
        "TRITON_LAB_WORK": str(work),
        "TRITON_LAB_HOME": str(root / "home"),
        "TRITON_LAB_LIFETIME": "session",  # what a student has
        "JUPYTER_CONFIG_DIR": str(root / "config"),
        "JUPYTER_DATA_DIR": str(root / "data"),
        "JUPYTERLAB_SETTINGS_DIR": str(root / "settings"),
        "IPYTHONDIR": str(root / "ipython"),
    }
    command = [sys.executable, "-m", "lab_utils.cli", "lab", "--no-browser", f"--port={port}"]
    command += [f"--IdentityProvider.token={token}", "--LabApp.expose_app_in_browser=True"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + START_SECONDS
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, f"JupyterLab did not start:\n{log.read_text()}"
            try:
                if httpx.get(f"{url}/api", params={"token": token}, trust_env=False).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.2)
        yield Jupyter(url, token, work, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    ending = log.read_text().splitlines()[-1]
    assert ending.startswith(("Stopped: ", "No server of ours")), (
        "`triton-lab lab` stops the servers at its end"
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium of the system."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine: `apt install chromium`")
    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(executable_path=program, args=_QUIET)
        yield instance
        instance.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a laptop's size."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    yield context.new_page()
    context.close()


def open_notebook(page: Page, jupyter: Jupyter, name: str) -> None:
    """Open a notebook and wait until its kernel answers."""
    page.set_default_timeout(START_SECONDS * 1000)
    # A workspace of its own: otherwise JupyterLab opens again what the last test had open.
    workspace = f"{jupyter.url}/lab/workspaces/{secrets.token_hex(4)}"
    page.goto(f"{workspace}/tree/{name}?token={jupyter.token}", wait_until="domcontentloaded")
    page.wait_for_function(
        "(name) => window.jupyterapp?.shell.currentWidget?.context?.path === name", arg=name
    )
    try:
        page.evaluate(
            """async () => {
                const widget = window.jupyterapp.shell.currentWidget;
                await widget.context.ready;
                await widget.revealed;
                await widget.sessionContext.ready;
                await widget.sessionContext.session.kernel.info;
            }"""
        )
    except Error as error:
        raise AssertionError(f"the kernel did not come up: {error}\n{jupyter.log.read_text()}") from error


def run_all(page: Page) -> None:
    """Run every cell; returns when the last one has ended or, as JupyterLab does, one has raised."""
    _run(page, "notebook:run-all-cells", "null")


def run_until(page: Page, text: str) -> None:
    """Run the cells before the first one that has `text`; returns as `run_all` does."""
    last = index_of(page, text)
    page.evaluate(f"(i) => {{ {_NOTEBOOK}.activeCellIndex = i; }}", last)
    _run(page, "notebook:run-all-above", str(last))


def run_cell(page: Page, text: str) -> None:
    """Run the first cell that has `text`."""
    page.evaluate(f"(i) => {{ {_NOTEBOOK}.activeCellIndex = i; }}", index_of(page, text))
    page.evaluate("async () => { await window.jupyterapp.commands.execute('notebook:run-cell'); }")


def index_of(page: Page, text: str) -> int:
    """The position of the first cell whose source has `text`."""
    index: int = page.evaluate(
        f"(text) => {_NOTEBOOK}.widgets.findIndex(c => c.model.sharedModel.source.includes(text))", text
    )
    assert index >= 0, f"no cell has {text!r}"
    return index


def _run(page: Page, command: str, last: str) -> None:
    page.evaluate(f"async () => {{ await window.jupyterapp.commands.execute('{command}'); }}")
    page.wait_for_function(
        f"""() => {{
            const widget = window.jupyterapp.shell.currentWidget;
            const code = widget.content.widgets.slice(0, {last} ?? undefined).filter(
                c => c.model.type === 'code' && c.model.sharedModel.source);
            const stopped = code.some(c => c.model.outputs.toJSON().some(o => o.output_type === 'error'));
            return widget.sessionContext.session.kernel.status === 'idle'
                && (stopped || (code.length > 0 && code.every(c => c.model.executionCount)));
        }}"""
    )


def cell_errors(page: Page) -> list[str]:
    """Errors that stand in the outputs of the open notebook, each with its name and message."""
    found: list[str] = page.evaluate(
        """() => {
            const cells = window.jupyterapp.shell.currentWidget.context.model.toJSON().cells;
            return cells.flatMap(c => c.outputs || []).filter(o => o.output_type === 'error')
                .map(o => `${o.ename}: ${o.evalue}`);
        }"""
    )
    return found
