"""Each check of the doctor passes on a good machine, and each of its faults makes it speak."""

from __future__ import annotations

import dataclasses
import socket

import psutil
import pytest

from lab_utils.doctor import Facts, Finding, Status, collect, run_doctor
from lab_utils.doctor.containers import CONTAINER_CHECKS
from lab_utils.doctor.facts import DockerFacts, GpuFacts, read_constraints
from lab_utils.doctor.shared import SharedFacts
from lab_utils.doctor.software import SOFTWARE_CHECKS
from lab_utils.doctor.stack import ComposeFacts
from lab_utils.doctor.system import SYSTEM_CHECKS

CHECKS = SYSTEM_CHECKS | SOFTWARE_CHECKS | CONTAINER_CHECKS
GOOD = Facts(
    wanted={"numpy": "1.26.4", "onnx": "1.23.2"},
    installed={"numpy": "1.26.4", "onnx": "1.23.2"},
    torch="2.13.0+cpu",
    torch_extra={"torch": "2.13.0", "transformers": "5.24.0"},
    server="/somewhere/tritonserver",
    monitoring={"prometheus": "/somewhere/prometheus", "amtool": "/somewhere/amtool"},
    monitoring_fix="Fetch them.",
    ports={8000: None, 8001: None, 8002: None},
    shm_total=8000,
    shm_free=8000,
    disk_free=50_000,
    memory_available=8000,
    docker=DockerFacts(engine="28.2.2", nvidia_runtime=True),
    compose=ComposeFacts("docker compose 2.29.1"),
    gpu=GpuFacts(True, "560.35.03", ("NVIDIA A100",), toolkit="/usr/bin/nvidia-ctk"),
)


def look(check: str, **facts: object) -> Finding:
    """The finding of one check on the good machine with some facts changed."""
    return CHECKS[check](dataclasses.replace(GOOD, **facts))


@pytest.mark.parametrize("check", CHECKS)
def test_a_good_machine_passes(check):
    finding = look(check)
    assert (finding.status, finding.fix) == (Status.PASS, "")
    assert finding.check == check
    assert finding.detail


NO_DRIVER = GpuFacts(True, error="nvidia-smi is not installed")
BAD = [
    ("system", {"system": "Darwin", "machine": "arm64"}, "FAIL", "Linux only", "virtual machine"),
    ("system", {"machine": "riscv64"}, "FAIL", "x86-64 and aarch64 only", "remote"),
    ("system", {"machine": "aarch64"}, "WARN", "tested on x86-64 only", "docker runtime"),
    ("glibc", {"glibc": "2.31"}, "FAIL", "older than 2.35", "Ubuntu 22.04"),
    ("glibc", {"glibc": None}, "FAIL", "no glibc", "Debian 12"),
    (
        "ports",
        {"ports": {8000: "jupyterhub (process 7)", 8001: None}},
        "WARN",
        "jupyterhub (process 7)",
        "9000",
    ),
    (
        "prometheus",
        {"monitoring": {"prometheus": None, "amtool": "/x"}},
        "WARN",
        "found: prometheus.",
        "Fetch",
    ),
    ("shm", {"shm_total": None}, "FAIL", "not there", "mount"),
    ("shm", {"shm_total": 64, "shm_free": 63}, "WARN", "63 of 64 MiB", "--shm-size=1g"),
    ("shm", {"shm_free": 20}, "FAIL", "20 of 8000 MiB", "stop --all"),
    ("disk", {"disk_free": 300}, "FAIL", "300 MiB free", "TRITON_LAB_CACHE"),
    ("disk", {"disk_free": None}, "WARN", "could not be found out", "df"),
    ("memory", {"memory_available": 1500}, "WARN", "1500 MiB", "Close other programs"),
    ("memory", {"memory_available": 3000}, "WARN", "Lab 3 with its Llamas", "before Lab 3"),
    ("memory", {"memory_available": 400}, "FAIL", "too little", "Close other programs"),
    ("memory", {"memory_available": None}, "WARN", "could not be found out", "free"),
    ("servers", {"leftovers": ("record of server `lab01`",)}, "WARN", "lab01", "stop --all"),
    ("servers", {"broken": ("server `lab01`: a stub is gone",)}, "WARN", "stub is gone", "stop --all"),
    (
        "shared-host",
        {"shared": SharedFacts(others=("ada", "bob"))},
        "WARN",
        "(ada, bob)",
        "TRITON_LAB_SHARED_HOST=1",
    ),
    ("shared-host", {"shared": SharedFacts(closed=True, problem="no ptrace")}, "FAIL", "no ptrace", "=0"),
    ("servers", {"state_error": "PermissionError: x"}, "WARN", "PermissionError", "stop --all"),
    ("python", {"python": (3, 13, 0)}, "FAIL", "3.13.0", "PYTHON=python3.12"),
    ("numpy", {"installed": {"numpy": "2.1.0"}}, "FAIL", "silently return empty tensors", "numpy<2"),
    ("numpy", {"installed": {}}, "FAIL", "not installed", "make lab"),
    ("packages", {"installed": {"numpy": "1.26.4"}}, "FAIL", "not installed: onnx", "constraints.txt"),
    ("packages", {"wanted": {}}, "FAIL", "triton-labs is not installed", "make lab"),
    (
        "packages",
        {"installed": {"numpy": "1.26.4", "onnx": "1.17.0"}},
        "WARN",
        "onnx 1.17.0 (tested with 1.23.2)",
        "constraints.txt",
    ),
    ("packages", {"wanted": {"numpy": None}}, "WARN", "constraints.txt was not found", "clone"),
    ("pytorch", {"torch": None}, "WARN", "Lab 3 needs it", "'.[torch]'"),
    (
        "pytorch",
        {"torch_extra": {"torch": "2.13.0", "tokenizers": None}},
        "WARN",
        "also need tokenizers",
        "[torch]",
    ),
    (
        "tritonserver",
        {"server": None, "server_error": "no stub for 3.11"},
        "FAIL",
        "no stub for 3.11",
        "make lab",
    ),
    (
        "tritonserver",
        {"missing_libraries": ("libpython3.11.so.1.0",)},
        "FAIL",
        "libpython3.11.so.1.0",
        "apt install libpython3.11",
    ),
    ("tritonserver", {"missing_libraries": ("GLIBCXX_3.4.30",)}, "FAIL", "GLIBCXX_3.4.30", "libstdc"),
    ("tritonserver", {"missing_libraries": ("libb64.so.0d",)}, "FAIL", "libb64", "--force-reinstall"),
    ("docker", {"docker": DockerFacts()}, "WARN", "No container engine", "Install Docker"),
    ("docker", {"docker": DockerFacts(problem="bad host", mend="unset it")}, "WARN", "bad host", "unset it"),
    (
        "docker",
        {"docker": DockerFacts(problem="you may not", permission=True, in_group=True, mend="usermod")},
        "WARN",
        "you may not",
        "log out and in again",
    ),
    (
        "compose",
        {"compose": ComposeFacts(problem="Only 1.25 is here.", mend="Install a newer one.")},
        "WARN",
        "Only 1.25 is here.",
        "Install a newer one. Only `triton-lab up` needs it",
    ),
    ("gpu", {"gpu": NO_DRIVER}, "WARN", "nvidia-smi is not installed", "Install the driver"),
    ("gpu", {"gpu": GpuFacts(True, "470.82.01", ("Tesla T4",))}, "WARN", "too old", "525"),
    (
        "container-toolkit",
        {"docker": DockerFacts("28.2.2")},
        "WARN",
        "--gpus will fail",
        "nvidia-ctk runtime",
    ),
    (
        "container-toolkit",
        {"gpu": GpuFacts(True, "560.35", ("A100",)), "docker": DockerFacts("28.2.2")},
        "WARN",
        "not the NVIDIA Container Toolkit",
        "Install nvidia-container-toolkit",
    ),
]


@pytest.mark.parametrize(
    ("check", "facts", "status", "detail", "fix"), BAD, ids=[f"{b[0]}-{b[3][:20]}" for b in BAD]
)
def test_each_fault_is_found_and_has_a_mend(check, facts, status, detail, fix):
    finding = look(check, **facts)
    assert finding.status == status
    assert detail in finding.detail
    assert fix in finding.fix


def test_every_check_has_a_test_that_makes_it_fail():
    assert {bad[0] for bad in BAD} == set(CHECKS)


def test_a_machine_without_gpu_or_toolkit_is_a_good_machine():
    for check in ("gpu", "container-toolkit"):
        assert look(check, gpu=GpuFacts()).status is Status.PASS


def test_a_check_that_breaks_is_a_fail_and_hides_no_other():
    findings = run_doctor(dataclasses.replace(GOOD, glibc="strange"))
    by_name = {f.check: f for f in findings}
    assert by_name["glibc"].status is Status.FAIL
    assert "the check itself failed" in by_name["glibc"].detail
    assert [f.check for f in findings] == list(CHECKS)
    assert by_name["memory"].status is Status.PASS


def test_a_real_port_in_use_is_named_with_its_holder(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr("lab_utils.doctor.facts.DEFAULT_PORTS", (port,))
        holder = collect().ports[port]
        assert holder
        assert "python" in holder
        finding = look("ports", ports={port: holder})
        assert finding.status is Status.WARN
        assert str(port) in finding.detail
    assert collect().ports[port] is None


def test_real_leftovers_of_a_dead_server_are_found(own_folders):
    folder = own_folders / "home" / "servers"
    assert collect().leftovers == ()
    folder.mkdir(parents=True, exist_ok=True)
    from lab_utils import server as triton
    from lab_utils.models.build import build_models
    from lab_utils.paths import project_root

    build_models()
    one = ["--model-control-mode=explicit", "--load-model=mnist_mlp"]
    server = triton.start(
        project_root() / "model_repository", name="doomed", options=one, wait_for=["mnist_mlp"]
    )
    record = triton.record("doomed")
    assert look("servers", leftovers=collect().leftovers).status is Status.PASS
    try:
        assert record
        assert record.keeper
        psutil.Process(record.keeper.pid).kill()  # else it would tidy up
        psutil.Process(server.pid).kill()
        psutil.wait_procs([psutil.Process(server.pid)] if psutil.pid_exists(server.pid) else [], timeout=5)
        finding = look("servers", leftovers=collect().leftovers)
        assert finding.status is Status.WARN
        assert "doomed" in finding.detail
    finally:
        triton.stop_all()
    assert collect().leftovers == ()


def test_a_real_socket_that_nobody_answers_is_a_warning_with_the_mend(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    finding = look("docker", docker=collect().docker)
    assert finding.status is Status.WARN
    assert "none.sock" in finding.detail
    assert "systemctl start docker" in finding.fix


def test_a_gpu_with_a_driver_that_does_not_answer_is_told_from_no_driver(monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho 'Failed to initialize NVML: Driver/library version mismatch'\nexit 18\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert "version mismatch" in collect().gpu.error
    program.write_text("#!/bin/sh\necho '560.35.03, NVIDIA A100-SXM4-80GB'\n")
    gpu = collect().gpu
    assert (gpu.driver, gpu.names) == ("560.35.03", ("NVIDIA A100-SXM4-80GB",))


def test_constraints_are_read_with_comments_and_blank_lines(tmp_path):
    file = tmp_path / "constraints.txt"
    file.write_text("# a comment\n\nNumPy==1.26.4  # why\nonnx==1.23.2\n")
    assert read_constraints(file) == {"numpy": "1.26.4", "onnx": "1.23.2"}
    assert read_constraints(tmp_path / "none.txt") == {}
