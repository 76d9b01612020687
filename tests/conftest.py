"""What every test gets: folders of its own, kernel-lifetime servers, and a check that nothing stays."""

from __future__ import annotations

import functools
import os
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lab_utils import server as triton
from lab_utils.keeper.identity import MARKER
from lab_utils.monitoring import tools
from lab_utils.progress.labs import LABS
from tests.turns import GroupScheduling, in_order, shared_folder, turn, wants_to_be_alone


@pytest.hookimpl(trylast=True)  # pytest itself sorts by fixtures
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The proofs come late, and tests that want to be alone last."""
    in_order(items)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> GroupScheduling:
    """Tell pytest-xdist which tests belong together."""
    return GroupScheduling(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Wait for this test's turn. Outside of the test's own time limit: waiting is nobody's fault."""
    with turn(shared_folder(item.config), alone=wants_to_be_alone(item)):
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def one_tls_context() -> Iterator[None]:
    """A bare `httpx.get` reads all certificates (35 ms of a core), and here nothing is asked by https."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", functools.cache(ssl.create_default_context))
        yield


@pytest.fixture
def labs_of_the_course(monkeypatch: pytest.MonkeyPatch) -> None:
    """The labs as a student has them: other tests of this process may have labs of their own, from 50 on."""
    for number in [number for number in LABS if int(number) >= 50]:
        monkeypatch.delitem(LABS, number)


@pytest.fixture(scope="session", autouse=True)
def private_folders(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Path]:
    """State, cache and work folders of this test run alone; nothing of the user's is touched.

    The cache is shared by all workers of the run: models are trained once.

    At the end no server of ours may run and no shared-memory region of ours may be left.
    """
    root = tmp_path_factory.mktemp("triton-lab")
    patch = pytest.MonkeyPatch()
    for name in ("HOME", "WORK"):
        patch.setenv(f"TRITON_LAB_{name}", str(root / name.lower()))
        (root / name.lower()).mkdir()
    # Prometheus and its companions, found once with the user's settings and cache: these change below.
    for tool, setting in tools.SETTINGS.items():
        with suppress(tools.MonitoringError):
            patch.setenv(setting, str(tools.find_tool(tool).parent))
    # A test run inside of a test uses the models that the outer one has trained.
    cache = Path(os.environ.get("TRITON_LAB_TEST_CACHE") or shared_folder(pytestconfig) / "model-cache")
    cache.mkdir(exist_ok=True)
    patch.setenv("TRITON_LAB_CACHE", str(cache))
    patch.setenv("TRITON_LAB_LIFETIME", "kernel")
    for name in ("RUNTIME", "URL", "GRPC_URL", "METRICS_URL", "IMAGE", "STRICT", "IDLE_HOURS"):
        patch.delenv(f"TRITON_LAB_{name}", raising=False)
    regions_before = set(Path("/dev/shm").iterdir())
    yield root
    running = [s.name for s in triton.running()]
    triton.stop_all()
    mine = _processes_of(root)
    new_regions = {p for p in set(Path("/dev/shm").iterdir()) - regions_before if p.name.startswith("tl")}
    patch.undo()
    assert not running, f"tests left servers running: {running}"
    assert not mine, f"tests left processes behind: {mine}"
    # Other test runs on this machine have regions of their own: only those of our servers count.
    ours = [p.name for p in new_regions if any(p.name.startswith(f"tl{i}") for i in _ids(root))]
    assert not ours, f"tests left shared memory behind: {ours}"


def _ids(root: Path) -> set[str]:
    """The ids of all servers that this run started: they stand in the names of their logs."""
    return {p.stem.rsplit("-", 1)[1] for p in (root / "home" / "logs").glob("*.log")}


def _processes_of(root: Path) -> list[str]:
    """Running processes that carry the marker of a server of this run."""
    wanted = {f"{MARKER}={i}".encode() for i in _ids(root)}
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if wanted & set((entry / "environ").read_bytes().split(b"\0")):
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
    return found
