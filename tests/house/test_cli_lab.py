"""`triton-lab lab`: JupyterLab on loopback with a token; its end, by whatever signal, ends our servers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from lab_utils import paths
from lab_utils import server as triton
from lab_utils.cli.jupyter import jupyter_command
from lab_utils.errors import LabError
from lab_utils.server.ports import free_ports

NO_MODEL = ["--model-control-mode=explicit"]


def test_it_listens_on_loopback_only_and_arguments_are_handed_on():
    command = jupyter_command(Path("/w"), ["--no-browser", "--port=9999"])
    assert "--ServerApp.ip=127.0.0.1" in command
    assert "--ServerApp.root_dir=/w" in command
    assert command[-2:] == ["--no-browser", "--port=9999"]
    assert not [part for part in command if "token" in part.lower()]


@pytest.mark.parametrize(
    "argument", ["--ip=0.0.0.0", "--ServerApp.ip=*", "--ServerApp.token=", "--IdentityProvider.token=''"]
)
def test_opening_it_to_others_is_refused(argument):
    with pytest.raises(LabError, match="would open JupyterLab to others"):
        jupyter_command(Path("/w"), [argument])


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_command_ends_its_child_and_what_follows_still_runs(ending):
    """`make` passes SIGTERM on, a closed terminal sends SIGHUP: what stands in `finally` must run."""
    child = "import time; print('child', flush=True); time.sleep(60)"
    code = (
        "import os, sys; from lab_utils.cli.jupyter import run_until_end\n"
        f"try: run_until_end([sys.executable, '-c', {child!r}], dict(os.environ))\n"
        "finally: print('cleaned', flush=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        assert process.stdout.readline() == "child\n"
        (inner,) = psutil.Process(process.pid).children()
        process.send_signal(ending)
        text, _ = process.communicate(timeout=20)
        assert text == "cleaned\n"
        assert not inner.is_running()
    finally:
        process.kill()
        process.wait()


@pytest.mark.live
def test_ctrl_c_ends_jupyterlab_and_our_servers(own_folders):
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "lab_utils.cli",
            "lab",
            "--no-browser",
            f"--port={port}",
            "--ServerApp.token=secret",
        ],
        cwd=paths.project_root(),
        env={**os.environ, "JUPYTER_CONFIG_DIR": str(own_folders / "jupyter")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/api/status?token=secret", process)
        assert httpx.get(f"http://127.0.0.1:{port}/api/contents").status_code == 403  # no token, no entry
        names = httpx.get(f"http://127.0.0.1:{port}/api/contents?token=secret").json()["content"]
        assert [n["name"] for n in names if n["name"].startswith("01-")]
        (jupyter,) = psutil.Process(process.pid).children()
        server = triton.start(paths.project_root() / "model_repository", name="left-open", options=NO_MODEL)
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to everybody in the foreground
        text, _ = process.communicate(timeout=60)
        assert "Stopped: left-open." in text
        assert not server.alive()
        assert not psutil.pid_exists(jupyter.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        triton.stop_all()


def _wait_for(url: str, process: subprocess.Popen[str], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, process.stdout and process.stdout.read()
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    raise AssertionError(f"{url} does not answer")
