"""A test that wants the machine for itself gets it, and is not overtaken for ever."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections import defaultdict
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from lab_utils.paths import project_root
from tests.turns import group, turn

FORK = multiprocessing.get_context("fork")


def _hold(folder: Path, alone: bool, has_it: Event, give_back: Event) -> None:
    with turn(folder, alone):
        has_it.set()
        give_back.wait(30)


class Other:
    """Another worker with a test of its own."""

    def __init__(self, folder: Path, alone: bool) -> None:
        self.has_it, self.give_back = FORK.Event(), FORK.Event()
        self.process = FORK.Process(
            target=_hold, args=(folder, alone, self.has_it, self.give_back), daemon=True
        )
        self.process.start()

    def ends(self) -> None:
        self.give_back.set()
        self.process.join(10)


@pytest.mark.parametrize(
    ("first", "second", "waits"), [(False, False, False), (False, True, True), (True, False, True)]
)
def test_who_waits_for_whom(tmp_path: Path, first: bool, second: bool, waits: bool) -> None:
    one = Other(tmp_path, first)
    assert one.has_it.wait(10)
    two = Other(tmp_path, second)
    assert two.has_it.wait(0.5 if waits else 10) is not waits
    one.ends()
    assert two.has_it.wait(10)
    two.ends()


def test_nobody_overtakes_a_test_that_waits_to_be_alone(tmp_path: Path) -> None:
    running = Other(tmp_path, alone=False)
    assert running.has_it.wait(10)
    waiting = Other(tmp_path, alone=True)
    time.sleep(0.3)
    late = Other(tmp_path, alone=False)
    assert not late.has_it.wait(0.5), "the one that waits to be alone was there first"
    running.ends()
    assert waiting.has_it.wait(10)
    assert not late.has_it.is_set()
    waiting.ends()
    assert late.has_it.wait(10)
    late.ends()


def test_a_group_stays_with_one_worker(tmp_path: Path) -> None:
    """Real workers: a file, the tests of the container engine, the proofs of one exercise."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_xdist_make_scheduler\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    files = (
        "tests/docker/test_a.py",
        "tests/docker/test_b.py",
        "tests/proofs/test_proofs.py",
        "tests/zz/test_c.py",
    )
    for name in files:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(
            "import time\n\nimport pytest\n\n\n"
            "@pytest.mark.parametrize('turn', range(2))\n@pytest.mark.parametrize('one', ['1.1', '1.2'])\n"
            "def test_one(one: str, turn: int) -> None:\n    time.sleep(0.05)\n"
        )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        "2",
        "--dist",
        "loadscope",
        "--no-loadscope-reorder",
        "-v",
    ]
    environment = {**os.environ, "PYTHONPATH": str(project_root())}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    workers = defaultdict(set)
    for line in run.stdout.splitlines():
        if "PASSED" in line:
            workers[group(line.split()[-1])].add(line[:5])
    assert sum(run.stdout.count(f"PASSED {name}") for name in files) == 16, run.stdout + run.stderr
    assert {name for name, found in workers.items() if len(found) != 1} == set()
    assert set().union(*workers.values()) == {"[gw0]", "[gw1]"}


def test_engines_come_first_proofs_late_and_files_whose_tests_are_all_alone_last(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_collection_modifyitems\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\nmarkers = alone\n")
    mark, one = "import pytest\n\npytestmark = pytest.mark.alone\n\n\n", "def test_{}() -> None: ...\n"
    (tmp_path / "test_a.py").write_text(mark + one.format("a1") + one.format("a2"))
    (tmp_path / "test_b.py").write_text(
        f"import pytest\n\n\n@pytest.mark.alone\n{one.format('b1')}{one.format('b2')}"
    )
    (tmp_path / "test_d.py").write_text(mark + f"@pytest.mark.skipif(True, reason='')\n{one.format('d1')}")
    (tmp_path / "test_c.py").write_text(one.format("c1"))
    proofs = tmp_path / "tests" / "proofs" / "test_proofs.py"
    proofs.parent.mkdir(parents=True)
    both = "@pytest.mark.parametrize('one', ['1.1', '1.2'])\ndef test_{}(one: str) -> None: ...\n"
    proofs.write_text("import pytest\n\n\n" + both.format("p1") + both.format("p2"))
    (tmp_path / "tests" / "test_z.py").write_text(one.format("z1"))
    (tmp_path / "tests" / "stack").mkdir()
    (tmp_path / "tests" / "stack" / "test_s.py").write_text(mark + one.format("s1"))
    (tmp_path / "tests" / "stack" / "test_t.py").write_text(one.format("t1"))
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(project_root())},
        capture_output=True,
        text=True,
        timeout=60,
    )
    exercises = ["p1[1.1]", "p2[1.1]", "p1[1.2]", "p2[1.2]"]
    found = [line.partition("::test_")[2] for line in run.stdout.splitlines() if "::" in line]
    assert found == ["s1", "t1", "b1", "b2", "c1", "d1", "z1", *exercises, "a1", "a2"], run.stdout


def test_what_a_group_is() -> None:
    proofs = "tests/proofs/test_proofs.py"
    assert group("tests/load/test_faults.py::test_x[http]") == "tests/load/test_faults.py"
    for folder in ("docker", "stack"):
        assert group(f"tests/{folder}/test_a.py::test_x") == group(f"tests/{folder}/test_b.py::test_y")
    assert group(f"{proofs}::test_proof_4[1.5]") == group(f"{proofs}::test_proof_5[1.5]")
    assert group(f"{proofs}::test_proof_4[1.5]") != group(f"{proofs}::test_proof_4[1.6]")
    assert group(f"{proofs}::test_proof_1[lab01]") != group(f"{proofs}::test_proof_3[lab01]")
