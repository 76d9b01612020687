"""What the doctor says about Compose, about the ports of the stack, and about processes in containers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from lab_utils.doctor import Status
from lab_utils.doctor.facts import DockerFacts
from lab_utils.doctor.shared import in_a_container
from lab_utils.doctor.stack import STACK, ComposeFacts, collect_compose, named_holder
from lab_utils.stack import state
from lab_utils.stack.state import StackState
from tests.house.test_doctor import look


def test_compose_is_asked_for_only_where_there_is_an_engine():
    assert look("compose", compose=ComposeFacts(), docker=DockerFacts()).status is Status.PASS


def test_the_compose_of_this_machine_is_found_and_without_one_the_packages_are_named(monkeypatch, tmp_path):
    program = tmp_path / "docker-compose"
    for words, found in (("1.29.2", "docker-compose 1.29.2"), ("1.25.0", None)):
        program.write_text(f"#!/bin/sh\necho {words}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        facts = collect_compose()
        assert facts.found == found
    assert "1.25.0" in facts.problem
    program.unlink()
    finding = look("compose", compose=collect_compose())
    assert "Docker Compose" in finding.detail
    assert "docker-compose" in finding.fix


def test_ports_of_the_own_stack_are_no_fault(own_folders):
    urls = {"triton.http": "http://127.0.0.1:8000", "triton.grpc": "127.0.0.1:8001"}
    assert named_holder(8000, "docker-proxy (process 7)") == "docker-proxy (process 7)"
    state.write(StackState("triton-lab-me-stack", "net", urls=urls))
    assert named_holder(8000, "docker-proxy (process 7)") == STACK
    assert named_holder(8001, "another process") == STACK  # of root's programs others see no name
    assert named_holder(8002, "docker-proxy (process 8)") == "docker-proxy (process 8)"
    assert named_holder(8000, "python (process 9)") == "python (process 9)"  # the stack is down after all
    ports = {8000: STACK, 8001: None, 8002: None}
    finding = look("ports", ports=ports)
    assert finding.status is Status.PASS
    assert "port 8000 is held by your stack (`triton-lab down`)" in finding.detail
    finding = look("ports", ports=ports | {8002: "python (process 9)"})
    assert finding.status is Status.WARN
    assert "python (process 9)" in finding.detail


def test_a_process_in_a_container_is_no_other_person():
    sleep = [sys.executable, "-c", "print('ready', flush=True); import time; time.sleep(60)"]
    with subprocess.Popen(sleep, stdout=subprocess.PIPE) as plain:
        assert plain.stdout
        plain.stdout.readline()
        assert not in_a_container(plain.pid)
        plain.kill()
    assert not in_a_container(plain.pid)  # it has ended: that cannot be read, so it counts
    # --kill-child: the process inside ends with unshare.
    typed = ["unshare", "--pid", "--fork", "--kill-child", *sleep]
    with subprocess.Popen(typed, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as outer:
        assert outer.stdout
        assert outer.stderr
        if outer.stdout.readline().strip() != "ready":
            pytest.skip(f"no PID namespace can be made here: {outer.stderr.read().strip()}")
        (inner,) = psutil.Process(outer.pid).children()
        try:
            assert in_a_container(inner.pid)
            assert not in_a_container(outer.pid)
            assert not in_a_container(os.getpid())
        finally:
            outer.send_signal(signal.SIGKILL)
            psutil.wait_procs([inner], timeout=5)
