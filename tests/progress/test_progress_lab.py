"""The object of the student's notebook, and its panel, on a real server."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http

import lab_utils
from lab_utils import server as triton
from lab_utils.errors import LabError
from lab_utils.lab import CheckFailed, Lab
from lab_utils.progress import render
from lab_utils.progress.registry import Checkpoint, Status, failed, passed, skipped
from lab_utils.progress.store import ProgressStore
from lab_utils.stack import state
from lab_utils.stack.state import StackState
from lab_utils.surroundings import about_runtime

pytestmark = pytest.mark.live


def is_ready(url: str, model: str) -> bool:
    return httpx.get(f"{url}/v2/models/{model}/ready", trust_env=False).status_code == 200


def classify(address: str, images: np.ndarray) -> np.ndarray:
    with tritonclient.http.InferenceServerClient(address) as client:
        tensor = tritonclient.http.InferInput("input", list(images.shape), "FP32")
        tensor.set_data_from_numpy(images)
        return client.infer("mnist_mlp", [tensor]).as_numpy("output").argmax(axis=1)


@pytest.fixture
def answers() -> dict[str, Any]:
    return {"is_ready": is_ready, "classify": classify}


@pytest.fixture
def lab(own_folders: Path, answers: dict[str, Any]) -> Iterator[Lab]:
    """The tiny lab with nothing solved yet; its server is shared with the other tests."""
    progress = own_folders / "work" / "progress.json"
    progress.unlink(missing_ok=True)
    made = Lab("90", namespace=answers)
    made.start()
    yield made
    progress.unlink(missing_ok=True)


def test_the_package_offers_lab_and_its_version() -> None:
    assert lab_utils.Lab is Lab
    assert lab_utils.__version__
    with pytest.raises(AttributeError, match="'Labb'"):
        _ = lab_utils.Labb


def test_the_image_of_a_container_is_named(own_work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_LAB_HOME", str(own_work / "home"))
    monkeypatch.delenv("TRITON_LAB_IMAGE", raising=False)
    assert about_runtime("docker") == "a container of nvcr.io/nvidia/tritonserver:24.10-py3"
    state.write(StackState("p", "n", images={"triton": "triton-lab/triton-cpu:24.10"}))
    assert about_runtime("docker") == "a container of triton-lab/triton-cpu:24.10"
    monkeypatch.setenv("TRITON_LAB_IMAGE", "mine:1")
    assert about_runtime("docker") == "a container of mine:1"


def test_the_first_line_makes_the_folder_and_says_where(
    own_work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Lab("90", namespace={})
    text = capsys.readouterr().out
    assert "Runtime: embedded" in text
    assert str(own_work / "lab90") in text
    assert "90.1  Ask for the state of a model" in text
    assert "Next: 90.1" in text
    copy = own_work / "lab90" / "model_repository" / "mnist_mlp"
    assert (copy / "1" / "model.onnx").stat().st_size > 1000
    (copy / "config.pbtxt").write_text("# the student's own work")
    Lab("90", namespace={})
    assert (copy / "config.pbtxt").read_text() == "# the student's own work"
    assert [p.name for p in copy.parent.iterdir()] == ["mnist_mlp"]


def test_loopback_is_spared_from_proxies_and_the_command_is_found(
    own_work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "intra.example")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    Lab("90", namespace={})
    assert os.environ["NO_PROXY"] == "intra.example,127.0.0.1,localhost"
    assert os.environ["no_proxy"] == "127.0.0.1,localhost"
    Lab("90", namespace={})
    assert os.environ["PATH"] == f"{Path(sys.executable).parent}:/usr/bin:/bin"


def test_names_come_from_the_callers_globals(own_work: Path) -> None:
    namespace: dict[str, Any] = {"Lab": Lab}
    exec("lab = Lab('90')\nis_ready = 7\n", namespace)
    assert namespace["lab"]._namespace is namespace


def test_a_solved_lab_is_full_and_a_second_kernel_sees_it(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    verdict = lab.check("90.1")
    assert repr(verdict) == "PASS"
    assert verdict.passed
    assert "PASS  90.1" in capsys.readouterr().out
    assert verdict._ipython_display_() is None
    assert lab.check(" 90.2 ").passed
    again = Lab("90", namespace={})
    assert "3 of 3 points" in again.panel.text()
    assert again.panel._bar.value == 3
    assert "Every exercise is done." in again.panel.text()
    assert again.server.pid == lab.server.pid
    entry = ProgressStore().entries()["90.2"]
    assert entry.server["pid"] == lab.server.pid


def test_the_panels_buttons_work_without_a_browser(lab: Lab, answers: dict[str, Any]) -> None:
    first, second = lab.panel, Lab("90", namespace={}).panel
    first.buttons["90.1"].click()
    assert ">PASS<" in first.message.value
    for panel in (first, second):  # every shown panel follows
        assert ">PASS<" in panel._states["90.1"].value
        assert "open" in panel._states["90.2"].value
        assert panel._bar.value == 1
    answers["is_ready"] = lambda url, model: True
    first.check_all.click()
    assert ">FAIL<" in second._states["90.1"].value
    assert "passed before" in second._states["90.1"].value
    assert ">PASS<" in second._states["90.2"].value
    assert not any(button.disabled for button in first.buttons.values())


def test_an_error_inside_a_button_is_shown(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab.store, "record", lambda *a: (_ for _ in ()).throw(LabError("disk <full>")))
    lab.panel.buttons["90.1"].click()
    assert "disk &lt;full&gt;" in lab.panel.message.value
    assert "Traceback" in lab.panel.message.value
    assert not lab.panel.check_all.disabled


def test_the_panel_has_a_plain_text_form(lab: Lab) -> None:
    bundle = lab.panel._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"].startswith("Lab 90: A tiny lab")


def test_strict_raises_on_fail_alone(
    lab: Lab, answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_LAB_STRICT", "1")
    assert lab.check("90.1").passed
    answers["is_ready"] = lambda url, model: True
    with pytest.raises(CheckFailed, match=r"FAIL 90\.1"):
        lab.check("90.1")
    monkeypatch.delenv("TRITON_LAB_STRICT")
    assert not lab.check("90.1").passed


def test_an_unknown_exercise_is_named(lab: Lab) -> None:
    with pytest.raises(LabError, match=r"no exercise '90\.22'; do you mean '90\.2'"):
        lab.check("90.22")
    with pytest.raises(LabError, match="no lab '55'"):
        Lab("55", namespace={})


def test_a_damaged_progress_file_is_told_in_the_panel(lab: Lab) -> None:
    lab.store.path.write_text("{")
    lab.progress()
    assert "could not be read" in lab.panel._summary.value
    assert (lab.store.path.parent / "progress.damaged-1.json").read_text() == "{"


def test_a_pass_survives_a_restarted_kernel_and_a_stopped_server(lab: Lab, answers: dict[str, Any]) -> None:
    lab.check("90.1")
    assert lab.store.entries()["90.1"].verdict.passed
    forgetful = Lab("90", namespace={})
    assert forgetful.check("90.1").status is Status.FAIL, "a missing answer never passes"
    assert lab.store.entries()["90.1"].verdict.passed, "and takes no points away"
    lab.stop()
    assert lab.check("90.1").status is Status.FAIL, "no server, no PASS"
    assert lab.store.entries()["90.1"].verdict.passed
    lab.start()
    answers["is_ready"] = lambda url, model: True
    assert lab.check("90.1").status is Status.FAIL
    assert not lab.store.entries()["90.1"].verdict.passed, "a wrong answer does"


def test_a_server_comes_back_with_its_last_options(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    option = "--log-verbose=1"
    lab.start(option)
    assert "Replacing the running server" in capsys.readouterr().out
    assert lab.start().pid == lab.server.pid, "without options the running server is kept"
    lab.stop()
    lab.start()
    record = triton.record("lab90")
    assert record is not None
    assert record.options == (option,)
    lab.stop()
    lab._options_file.unlink()
    lab.start()


def test_stop_and_start_and_other_options(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    first = lab.server.pid
    assert lab.start().pid == first
    assert lab.start("--strict-readiness=false").pid != first
    lab.stop()
    lab.stop()
    text = capsys.readouterr().out
    assert "is stopped" in text
    assert "is not running" in text
    with pytest.raises(LabError, match="not running"):
        _ = lab.server


def test_the_tiny_labs_checks_refuse_cheats(lab: Lab, answers: dict[str, Any]) -> None:
    answers["is_ready"] = lambda url, model: httpx.get(f"{url}/v2/health/ready").status_code == 200
    verdict = lab.check("90.1")
    assert "not there" in verdict.expected
    answers["classify"] = lambda address, images: np.concatenate(
        [classify(address, images[i : i + 1]) for i in range(len(images))]
    )
    assert "12 requests" in lab.check("90.2").found


ONE = Checkpoint("1.1", "A <b>title</b>", 2, 5, 1, ("x",), lambda ctx, answers: passed("yes"))


@pytest.mark.parametrize(
    "verdict",
    [
        passed("all <i>well</i>"),
        failed(expected="<script>", found="line one\n  line two & more", next_step="do"),
        skipped("no GPU", "get one"),
    ],
)
def test_a_verdict_is_readable_without_colour_and_escaped(verdict: Any) -> None:
    html, text = render.as_html(ONE, verdict, "a <note>"), render.as_text(ONE, verdict, "a <note>")
    assert f">{verdict.status.value}<" in html
    assert text.startswith(f"{verdict.status.value}  1.1 A <b>title</b>")
    for tag in ("<b>", "<i>", "<script>", "<note>"):
        assert tag not in html
    for _, part in render.rows(verdict):
        for line in part.splitlines():
            assert line.strip() in text
    assert ("2 of 2 points" in text) is verdict.passed
    assert max(map(len, text.splitlines())) <= 100
    json.dumps(verdict.as_dict())
    assert verdict.status in Status


def test_names_in_backticks_are_shown_as_code() -> None:
    html = render.as_html(ONE, passed("call `a < b` now, not ` alone"), "")
    assert "call <code>a &lt; b</code> now, not ` alone" in html
