"""Who outlives whom: session containers, kernel containers, killed kernels, killed watchers."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from lab_utils import paths
from lab_utils.keeper.identity import ProcessId
from lab_utils.server.docker import DockerServer
from lab_utils.server.docker_ours import find, list_ours, stop_all, sweep

KERNEL = """
import sys
from lab_utils.server.docker import DockerServer
print("begin", flush=True)
server = DockerServer(sys.argv[1], name=sys.argv[2], lifetime=sys.argv[3]).start()
print("started", server.spec.labels.get("triton-lab.watcher"), flush=True)
sys.stdin.read()
"""


def kernel(repository: Path, name: str, lifetime: str) -> subprocess.Popen[str]:
    """Another process that starts a server, as a notebook's kernel does."""
    return subprocess.Popen(
        [sys.executable, "-c", KERNEL, str(repository), name, lifetime],
        cwd=paths.project_root(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def watchers() -> list[int]:
    """Processes of this test run that watch over a container."""
    host = os.environ["DOCKER_HOST"]
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        try:
            if any("keeper.container" in w for w in words) and process.environ().get("DOCKER_HOST") == host:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def eventually(what: Callable[[], bool], seconds: float) -> bool:
    """Whether something becomes true in time."""
    end = time.monotonic() + seconds
    while not what() and time.monotonic() < end:
        time.sleep(0.05)
    return what()


def killed(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait(10)


def test_a_kernel_container_dies_with_a_killed_kernel(
    empty_repository: Path, settings: Path, client: Any
) -> None:
    owner = kernel(empty_repository, "k9", "kernel")
    assert owner.stdout is not None
    try:
        assert owner.stdout.readline() == "begin\n"
        assert owner.stdout.readline().startswith("started ")
        assert len(client.containers.list()) == 1
        assert len(watchers()) == 1
    finally:
        killed(owner)
    assert eventually(lambda: client.containers.list(all=True) == [], 10)
    assert eventually(lambda: watchers() == [], 15)


@pytest.mark.parametrize("_round", range(3))
def test_a_kernel_killed_at_a_random_moment_of_the_start(
    empty_repository: Path, settings: Path, client: Any, _round: int
) -> None:
    owner = kernel(empty_repository, "moment", "kernel")
    assert owner.stdout is not None
    try:
        assert owner.stdout.readline() == "begin\n"
        time.sleep(random.uniform(0.0, 1.2))
    finally:
        killed(owner)
    assert eventually(lambda: watchers() == [], 20)
    assert client.containers.list(all=True) == []


def test_a_kernel_container_dies_even_when_its_watcher_is_killed_first(
    empty_repository: Path, settings: Path, client: Any
) -> None:
    owner = kernel(empty_repository, "both", "kernel")
    assert owner.stdout is not None
    try:
        owner.stdout.readline()
        pid, started = owner.stdout.readline().split()[1].split(":")
        assert ProcessId(int(pid), int(started)).send(signal.SIGKILL)
    finally:
        killed(owner)
    time.sleep(1)
    assert len(client.containers.list()) == 1  # nobody was left to remove it,
    assert sweep() == ["both"]  # so the next clean-up does
    assert client.containers.list(all=True) == []


def test_a_session_container_outlives_its_kernel_and_is_found_again(
    empty_repository: Path, settings: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = kernel(empty_repository, "session", "session")
    assert owner.stdout is not None
    try:
        owner.stdout.readline()
        assert owner.stdout.readline() == "started None\n"
    finally:
        killed(owner)
    assert watchers() == []
    try:
        found = find("session")
        assert found is not None
        found.wait_ready(timeout=5)
        assert sweep() == []  # it is nobody's orphan
        again = DockerServer(empty_repository, name="session").start()
        assert again.container_id == found.container_id
        # Another state folder is another student's, who neither sees nor stops it.
        monkeypatch.setenv("TRITON_LAB_HOME", str(settings / "other"))
        assert list_ours() == []
        assert stop_all() == []
        monkeypatch.setenv("TRITON_LAB_HOME", str(settings))
        assert found.alive()
    finally:
        assert stop_all() == ["session"]
    assert client.containers.list(all=True) == []


def test_a_kernel_container_is_not_shared_with_another_kernel(
    empty_repository: Path, settings: Path, client: Any
) -> None:
    owner = kernel(empty_repository, "mine", "kernel")
    assert owner.stdout is not None
    try:
        owner.stdout.readline()
        owner.stdout.readline()
        theirs = client.containers.list()[0].id
        # It would die with the other kernel, so it is replaced.
        server = DockerServer(empty_repository, name="mine", lifetime="kernel").start()
        try:
            assert server.container_id != theirs
            assert len(client.containers.list(all=True)) == 1
            assert len(watchers()) == 1
        finally:
            server.stop(timeout=0)
    finally:
        killed(owner)
    assert watchers() == []


def test_stop_from_another_process_ends_the_watcher_too(
    empty_repository: Path, settings: Path, client: Any
) -> None:
    owner = kernel(empty_repository, "other", "kernel")
    assert owner.stdout is not None
    try:
        owner.stdout.readline()
        owner.stdout.readline()
        assert stop_all() == ["other"]
        assert client.containers.list(all=True) == []
        assert eventually(lambda: watchers() == [] or _zombie(watchers()[0]), 5)
    finally:
        killed(owner)


def _zombie(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_start_that_fails_leaves_no_watcher(empty_repository: Path, settings: Path) -> None:
    with pytest.raises(Exception, match="is not on this machine"):
        DockerServer(empty_repository, name="fails", image="none:1", lifetime="kernel").start()
    with pytest.raises(Exception, match="ended with exit code"):
        DockerServer(
            empty_repository, name="fails", options=["--log-verbose=very"], lifetime="kernel"
        ).start()
    assert watchers() == []
