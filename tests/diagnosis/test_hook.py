"""Below a cell of a real IPython a failed load is explained: once, quietly, and never in the way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from lab_utils import explain_hook
from lab_utils import server as triton
from lab_utils.server.base import Server
from tests.diagnosis.conftest import ECHO, python, write

pytestmark = pytest.mark.live

LOAD = "import httpx; r = httpx.post(url + '/v2/repository/models/%s/load', timeout=30)"
RAISING = """\
import tritonclient.http as httpclient
with httpclient.InferenceServerClient(url[7:]) as client:
    client.load_model("%s")
"""


@dataclass
class Lab:
    """What the hook needs of a lab."""

    repository: Path
    _name: str = "hooked"
    explain_automatically: bool = True


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    repository = tmp_path_factory.mktemp("hook") / "models"
    write(repository, "good", python(), {"1/model.py": ECHO})
    write(repository, "typo", python("dynamic_batchng { }\n"), {"1/model.py": ECHO})
    write(repository, "bare", python(), {"1/model.py": "import nothere\n"})
    options = ["--model-control-mode=explicit", "--disable-auto-complete-config", "--exit-timeout-secs=1"]
    started = triton.start(repository, name="hooked", lifetime="kernel", options=options)
    yield started
    started.stop()


class Notebook:
    """A real IPython shell with the hook."""

    def __init__(self, server: Server) -> None:
        assert server.repository is not None
        self.lab = Lab(server.repository)
        self.shell = InteractiveShell()
        self.shell.user_ns.update(url=server.endpoints.http_url, lab=self.lab)
        self.hook = explain_hook.install(self.shell, self.lab)

    def run(self, cell: str) -> tuple[Any, str]:
        """The result of a cell, and what stands below it."""
        # The explanation is shown with `display`; outside of Jupyter it prints the plain text.
        InteractiveShell._instance = self.shell
        try:
            with capture_output() as shown:
                result = self.shell.run_cell(cell)
                time.sleep(0.2)  # Triton writes the log a moment after its answer
                self.shell.run_cell("pass")
        finally:
            InteractiveShell._instance = None
        texts = [o.data.get("text/plain", "") + o.data.get("text/html", "") for o in shown.outputs]
        return result, shown.stdout + "".join(texts)


@pytest.fixture
def notebook(server: Server) -> Notebook:
    return Notebook(server)


def test_a_failed_load_is_explained_once(notebook: Notebook) -> None:
    _, shown = notebook.run(LOAD % "typo")
    assert "dynamic_batchng" in shown
    assert "config.pbtxt, line 5" in shown
    assert "<details>" in shown
    assert shown.count("The model typo was not loaded") == 1
    assert notebook.run("pass")[1] == ""
    assert notebook.run(LOAD % "typo")[1] == ""  # the same failure again
    assert notebook.run(LOAD % "good")[1] == ""


def test_an_exception_of_the_client_is_explained_below_it(notebook: Notebook) -> None:
    result, shown = notebook.run(RAISING % "bare")
    assert result.error_in_exec is not None
    assert "No module named" in str(result.error_in_exec)
    assert "The model bare was not loaded" in shown
    assert "1/model.py, line 1" in shown


def test_it_can_be_turned_off_and_nothing_is_told_later(notebook: Notebook) -> None:
    notebook.lab.explain_automatically = False
    assert notebook.run(LOAD % "typo")[1] == ""
    notebook.lab.explain_automatically = True
    assert notebook.run("pass")[1] == ""
    assert (
        notebook.run("from lab_utils.explain_hook import silent\nwith silent(lab):\n    " + LOAD % "bare")[1]
        == ""
    )
    assert notebook.lab.explain_automatically is True


def test_what_a_check_breaks_on_purpose_is_not_explained(notebook: Notebook) -> None:
    notebook.shell.user_ns["hook"] = notebook.hook
    cell = f"import time\nwith hook.ignoring():\n    {LOAD % 'typo'}\n    time.sleep(0.3)"
    assert notebook.run(cell)[1] == ""


def test_a_second_lab_replaces_the_first(notebook: Notebook) -> None:
    explain_hook.install(notebook.shell, notebook.lab)
    assert notebook.run(LOAD % "typo")[1].count("The model typo was not loaded") == 1


def test_a_cell_without_a_failure_costs_less_than_10_ms(notebook: Notebook, server: Server) -> None:
    assert notebook.hook is not None
    logs = Path(server.log_path).parent  # type: ignore[attr-defined]
    others = [logs / f"other-{number:012x}.log" for number in range(100)]
    for path in others:
        path.write_text("E failed to load 'x' version 1: y\n")
    try:
        times = []
        for _ in range(20):
            begin = time.perf_counter()
            notebook.hook.after_cell(None)
            times.append(time.perf_counter() - begin)
    finally:
        for path in others:
            path.unlink()
    assert sorted(times)[10] < 0.01


def test_it_never_raises(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    assert notebook.hook is not None

    def broken() -> dict[Path, int]:
        raise OSError("no folder")

    monkeypatch.setattr(notebook.hook, "_sizes", broken)
    notebook.hook.after_cell(None)
    assert explain_hook.install(None, notebook.lab) is None


def test_html_is_escaped() -> None:
    from lab_utils.diagnosis import explain_log

    told = explain_log("failed to load '<b>x</b>' version 1: Internal: <script>alert(1)</script>", "<b>x</b>")
    html = explain_hook.as_html(told)
    assert "<script>" not in html
    assert "<b>" not in html
    assert "No known cause" in html
