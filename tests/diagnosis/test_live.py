"""Broken models on a real server: the decisive line, the cause, the file and the line."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lab_utils.errors import LabError
from lab_utils.explaining import explain_model
from lab_utils.server.base import Server
from tests.diagnosis.broken import BROKEN, ENSEMBLE, STEP
from tests.diagnosis.conftest import ECHO, load, python, write

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def broken(live: Server) -> Server:
    """The server after it has refused them all, one after the other, some of them twice."""
    assert live.repository is not None
    write(live.repository, "good", python(), {"1/model.py": ECHO})
    for name, (config, files, *_) in BROKEN.items():
        code = {} if any(path.endswith((".py", ".onnx")) for path in files) else {"1/model.py": ECHO}
        write(live.repository, name, config, {**code, **files})
    # The ensemble last: what Triton says of it while others are loaded must not be taken for theirs.
    write(live.repository, "of_imports", ENSEMBLE + STEP % ("imports", "x"), {"1/.keep": ""})
    for name in [*BROKEN, "of_imports", "misspelt", "gpu"]:
        assert load(live, name) != 200, name
    time.sleep(0.3)  # the last lines of the log come a moment after the answer
    return live


@pytest.mark.parametrize("name", BROKEN)
def test_cause_file_and_line(broken: Server, name: str) -> None:
    _, _, rule, file, line = BROKEN[name]
    told = explain_model(broken, name)
    assert told.rule == rule, told
    if rule != "python.stub-dead":
        assert broken.repository is not None
        assert told.file is not None
        assert Path(told.file) == broken.repository / name / file
        assert told.line == line, told
    log = broken.logs()
    assert told.log_lines
    for raw in told.log_lines:
        assert raw in log


def test_a_broken_step_is_the_reason_of_its_ensemble(broken: Server) -> None:
    told = explain_model(broken, "of_imports")
    assert told.rule == "python.module"
    assert told.model == "of_imports"
    assert "`imports`" in (told.cause or "")
    assert (told.file or "").endswith("imports/1/model.py")
    assert told.line == 2


def test_a_mended_model_is_ready(broken: Server) -> None:
    assert broken.repository is not None
    write(broken.repository, "preferred", python("dynamic_batching { }\n"), {})
    assert load(broken, "preferred") == 200
    told = explain_model(broken, "preferred")
    assert told.ready
    assert "ready" in (told.cause or "")


def test_a_model_that_is_only_ready_in_appearance_is_told_with_lint(broken: Server) -> None:
    assert broken.repository is not None
    config = python("dynamic_batching { }\n", batch="0")
    write(broken.repository, "never_batches", config, {"1/model.py": ECHO})
    assert load(broken, "never_batches") == 200
    told = explain_model(broken, "never_batches")
    assert told.ready
    assert (told.rule or "").startswith("lint.")
    assert "batch" in (told.cause or "")


def test_a_model_that_nobody_loaded_and_one_that_is_not_there(broken: Server) -> None:
    assert broken.repository is not None
    write(broken.repository, "waiting", python(), {"1/model.py": ECHO})
    assert "Nobody asked" in (explain_model(broken, "waiting").cause or "")
    with pytest.raises(LabError, match="Nothing is known") as error:
        explain_model(broken, "mispelt")
    assert "misspelt" in error.value.fix
    load(broken, "mispelt")
    told = explain_model(broken, "mispelt")
    assert told.rule == "layout.unknown-folder"
    assert "Do you mean `misspelt`?" in (told.fix or "")
