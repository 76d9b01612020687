"""scripts/preflight.sh names what a machine lacks. The facts are given by its environment and PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab_utils import paths

SCRIPT = paths.project_root() / "scripts" / "preflight.sh"
TOOLS = ("uname", "getconf", "sed", "df", "awk")
FIT = "ok"


@pytest.fixture
def machine(tmp_path: Path):
    """A machine with nothing but the few tools that the script needs, and the Pythons a test gives it."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for tool in TOOLS:
        (bin_folder / tool).symlink_to(str(shutil.which(tool)))

    def run(pythons: dict[str, str] | None = None, **facts: str) -> subprocess.CompletedProcess[str]:
        for name, answer in (pythons if pythons is not None else {"python3": FIT}).items():
            fake = bin_folder / name
            fake.parent.mkdir(parents=True, exist_ok=True)
            fake.write_text(f"#!/bin/sh\necho '{answer}'\n")
            fake.chmod(0o755)
        environment = {
            "PATH": str(bin_folder),
            "HOME": str(tmp_path),
            "PREFLIGHT_SYSTEM": "Linux",
            "PREFLIGHT_MACHINE": "x86_64",
            "PREFLIGHT_GLIBC": "2.36",
            "PREFLIGHT_DISK_MB": "50000",
            "VENV": str(tmp_path / "none"),
            **facts,
        }
        return subprocess.run(
            ["/bin/sh", str(SCRIPT)], env=environment, capture_output=True, text=True, timeout=30, check=False
        )

    return run


def test_a_fit_machine_passes_and_names_its_python(machine, tmp_path):
    answer = machine()
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == f"{tmp_path}/bin/python3\n"


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"PREFLIGHT_SYSTEM": "Darwin"}, "do not run on macOS"),
        ({"PREFLIGHT_SYSTEM": "MINGW64_NT-10.0-22631"}, "wsl --install"),
        ({"PREFLIGHT_SYSTEM": "MSYS_NT-10.0"}, "do not run on Windows itself"),
        ({"PREFLIGHT_SYSTEM": "FreeBSD"}, "This system (FreeBSD) is not supported"),
        ({"PREFLIGHT_MACHINE": "riscv64"}, "architecture (riscv64) is not supported"),
        ({"PREFLIGHT_GLIBC": "2.31"}, "glibc is too old: 2.31, and 2.35 is needed"),
        ({"PREFLIGHT_GLIBC": "2.34-0ubuntu3"}, "glibc is too old"),
        ({"PREFLIGHT_DISK_MB": "900"}, "Too little disk space: 900 MB free"),
        ({"PYTHON": "python3.9"}, "PYTHON=python3.9 is not Python 3.11 or 3.12"),
    ],
)
def test_each_fault_is_named_with_cause_and_mend(machine, facts, message):
    answer = machine(**facts)
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert message in answer.stderr
    assert "Why:" in answer.stderr
    assert "Next:" in answer.stderr


def test_newer_glibc_versions_pass(machine):
    for version in ("2.35", "2.41", "3.0"):
        assert machine(PREFLIGHT_GLIBC=version).returncode == 0, version


def test_a_machine_without_glibc(machine, tmp_path):
    (tmp_path / "bin" / "getconf").unlink()
    answer = machine(PREFLIGHT_GLIBC="")
    assert answer.returncode == 1
    assert "no glibc" in answer.stderr


@pytest.mark.parametrize(
    ("pythons", "message"),
    [
        ({}, "No Python 3.11 or 3.12 found."),
        ({"python3": "version 3.9"}, "No Python 3.11 or 3.12 found. Found: python3 (3.9)."),
        ({"python3": "venv 3.11"}, "apt install python3-venv"),
        ({"python3": "libpython 3.12"}, "apt install libpython3.12"),
    ],
)
def test_what_is_missing_of_python_is_named(machine, pythons, message):
    answer = machine(pythons)
    assert answer.returncode == 1
    assert message in answer.stderr


def test_a_newer_python3_does_not_hide_python_3_12(machine, tmp_path):
    answer = machine({"python3": "version 3.13", "python3.12": FIT})
    assert answer.stdout == f"{tmp_path}/bin/python3.12\n"


def test_a_pyenv_python_is_found_without_pyenv_on_path(machine, tmp_path):
    place = tmp_path / "pyenv" / "versions" / "3.11.7" / "bin" / "python3"
    answer = machine({"python3": "version 3.9", str(place): FIT}, PREFLIGHT_PYENV=str(tmp_path / "pyenv"))
    assert answer.stdout == f"{place}\n"


def test_little_disk_is_a_note_and_arm_too(machine):
    answer = machine(PREFLIGHT_DISK_MB="6000", PREFLIGHT_MACHINE="aarch64")
    assert answer.returncode == 0
    assert "CPU build" in answer.stderr
    assert "tested on x86-64 only" in answer.stderr


def test_disk_space_is_not_asked_for_once_installed(machine, tmp_path):
    place = tmp_path / "venv" / "bin" / "python"
    place.parent.mkdir(parents=True)
    place.touch()
    assert machine(PREFLIGHT_DISK_MB="900", VENV=str(tmp_path / "venv")).returncode == 0


def test_several_faults_are_told_together(machine):
    answer = machine({}, PREFLIGHT_GLIBC="2.31", PREFLIGHT_DISK_MB="1")
    assert answer.stderr.count("MISSING") == 3


def test_the_real_probe_accepts_this_very_machine():
    """The suite runs on a machine that can run the labs, so the script must say so."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFLIGHT_")}
    answer = subprocess.run(
        ["/bin/sh", str(SCRIPT)], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert answer.returncode == 0, answer.stderr
    version = subprocess.run(
        [answer.stdout.strip(), "-c", "import sys; print(*sys.version_info[:2])"],
        capture_output=True,
        text=True,
    )
    assert version.stdout.split() in (["3", "11"], ["3", "12"])


PROBE = SCRIPT.read_text().split("probe='")[1].split("\n'\n")[0]
BROKEN = {
    # Debian without python3-venv: the package ensurepip is what is missing.
    "venv": {"ensurepip.py": "raise ImportError('no ensurepip')"},
    # Debian without libpython3.x, or a Python built without --enable-shared.
    "libpython": {
        "sysconfig.py": "def get_config_var(name): return '/nowhere'",
        "ctypes.py": "def CDLL(name): raise OSError(name)",
    },
}


@pytest.mark.parametrize("lack", BROKEN)
def test_the_probe_sees_what_a_real_python_lacks(tmp_path, lack):
    for name, text in BROKEN[lack].items():
        (tmp_path / name).write_text(text)
    environment = {"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"]}
    answer = subprocess.run(
        [sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == f"{lack} {sys.version_info.major}.{sys.version_info.minor}"


def test_the_probe_runs_under_old_pythons_and_names_their_version(tmp_path):
    """Whatever `python3` is on an old machine, the answer is a version, not a syntax error."""
    folder = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    names = ("python2.7", "python3.6", "python3.8", "python3.9", "python3.10", "python3.13")
    olds = [p for p in map(shutil.which, names) if p] + sorted(map(str, folder.glob("*/bin/python?.*[0-9]")))
    ran = 0
    for old in olds:
        answer = subprocess.run([old, "-c", PROBE], capture_output=True, text=True, check=False)
        version = Path(old).name.removeprefix("python")
        # A pyenv shim of a version that is not switched on fails by itself.
        if answer.returncode == 0 and version not in ("3.11", "3.12"):
            ran += 1
            assert answer.stdout.strip() == f"version {version}"
    if not ran:
        pytest.skip("no other Python is installed here")
