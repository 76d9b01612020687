"""Execution: what ran, what failed, and no process left behind."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from lab_utils import server as triton
from lab_utils.errors import LabError
from lab_utils.notebooks import execute
from lab_utils.notebooks.execute import Execution, execute_notebook
from lab_utils.paths import project_root


def run(tmp_path: Path, *cells: str, **options: object) -> Execution:
    path = tmp_path / "sample.ipynb"
    made = [new_code_cell(text) for text in cells]
    for cell in made:
        cell.outputs = [new_output("stream", text="stale")]
    nbformat.write(new_notebook(cells=made), path)
    before = path.read_bytes()
    execution = execute_notebook(path, **options)  # type: ignore[arg-type]
    assert path.read_bytes() == before
    return execution


def pid_from(execution: Execution, position: int) -> int:
    return int(execution.notebook.cells[position].outputs[0].text)


def ended(pid: int) -> bool:
    """Gone, or a zombie that this machine's process 1 has not collected yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_outputs_environment_and_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    execution = run(
        tmp_path,
        "import os; print(os.environ['TRITON_LAB_WORK'], os.getcwd())",
        "import sys; print(sys.executable)",
        "print('NotImplementedError is only text')",
        env={"TRITON_LAB_WORK": "here"},
        cwd=tmp_path / "elsewhere",
    )
    assert (execution.finished, execution.reason, execution.errors) == (True, "", [])
    outputs = [cell.outputs[0].text.strip() for cell in execution.notebook.cells]
    assert outputs[0] == f"here {tmp_path / 'elsewhere'}"
    assert Path(outputs[1]).parent == Path(sys.executable).parent


def test_only_unsolved_exercises_do_not_stop_the_run(tmp_path: Path) -> None:
    execution = run(
        tmp_path, "raise NotImplementedError('1.1: x')", "print('on')", "{}['key']", "print('never')"
    )
    assert not execution.finished
    assert execution.stopped_at == 2
    assert execution.reason == "Cell 3 raised KeyError: 'key'"
    assert [(e.position, e.name, e.unsolved) for e in execution.errors] == [
        (0, "NotImplementedError", True),
        (2, "KeyError", False),
    ]
    assert [str(e) for e in execution.unexpected] == ["cell 3: KeyError: 'key'"]
    assert execution.notebook.cells[3].outputs == []  # the stale output is gone too


def test_keep_going_runs_everything(tmp_path: Path) -> None:
    execution = run(tmp_path, "1 / 0", "print('on')", "undefined", keep_going=True)
    assert execution.finished
    assert [e.name for e in execution.errors] == ["ZeroDivisionError", "NameError"]


@pytest.mark.parametrize("how", ["os._exit(3)", "os.kill(os.getpid(), 9)"])
def test_dead_kernel(tmp_path: Path, how: str) -> None:
    execution = run(tmp_path, "import os", how, "print('never')", keep_going=True)
    assert execution.kernel_died
    assert not execution.finished
    assert not execution.timed_out
    assert execution.stopped_at == 1
    assert execution.reason.startswith("The kernel died in cell 2")
    assert execution.seconds < 20


def test_cell_time_out(tmp_path: Path) -> None:
    execution = run(
        tmp_path, "import time", "while True:\n    time.sleep(1)", "print('never')", cell_timeout=2
    )
    assert (execution.timed_out, execution.finished, execution.kernel_died) == (True, False, False)
    assert execution.reason == "Cell 2 took more than 2 s."
    assert execution.seconds < 20


def test_total_time_out(tmp_path: Path) -> None:
    execution = run(tmp_path, *["import time; time.sleep(1.5)"] * 6, total_timeout=3, keep_going=True)
    assert (execution.timed_out, execution.finished) == (True, False)
    assert execution.reason.startswith("The notebook took more than 3 s; it was at cell ")
    assert execution.seconds < 20


def test_children_with_a_session_of_their_own_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "GRACE_SECONDS", 1.0)
    # The second child ignores SIGTERM and hides behind a parent that is gone.
    execution = run(
        tmp_path,
        "import subprocess\nprint(subprocess.Popen(['sleep', '300'], start_new_session=True).pid)",
        'hidden = "import os, signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(300)"\n'
        "out = subprocess.run(['bash', '-c', f\"setsid python3 -c '{hidden}' >/dev/null 2>&1 & echo $!\"],"
        " capture_output=True, text=True)\n"
        "print(out.stdout)",
    )
    assert execution.finished, execution.reason
    for position in (0, 1):
        assert ended(pid_from(execution, position))


def test_inside_a_running_event_loop(tmp_path: Path) -> None:
    async def outer() -> Execution:
        return run(tmp_path, "print(1)")

    assert asyncio.run(outer()).finished


def test_unreadable_notebook(tmp_path: Path) -> None:
    path = tmp_path / "bad.ipynb"
    path.write_text("{")
    begun = time.monotonic()
    with pytest.raises(LabError, match="cannot be read as a notebook"):
        execute_notebook(path)
    assert time.monotonic() - begun < 5


@pytest.mark.live
def test_a_server_of_the_notebook_ends_with_it(
    tmp_path: Path, private_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_LAB_HOME", str(tmp_path / "home"))
    (tmp_path / "empty").mkdir()
    before = set(Path("/dev/shm").iterdir())
    execution = run(
        tmp_path,
        "from lab_utils import server as triton",
        f"server = triton.start({str(tmp_path / 'empty')!r}, name='notebook', lifetime='kernel')",
        "import httpx\nprint(httpx.get(server.endpoints.http_url + '/v2/health/ready').status_code)",
        "print(server.pid)",
        env={"TRITON_LAB_HOME": str(tmp_path / "home"), "PYTHONPATH": str(project_root())},
    )
    assert execution.finished, execution.reason
    assert execution.notebook.cells[2].outputs[0].text.strip() == "200"
    assert ended(pid_from(execution, 3))
    # Its keeper had the time to stop it properly: it wrote down the end, and removed the regions.
    record = triton.record("notebook")
    assert record is not None
    assert record.ended is not None
    regions = {path.name for path in set(Path("/dev/shm").iterdir()) - before}
    assert not [name for name in regions if record.id in name], regions
