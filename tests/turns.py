"""Several test processes at once: which tests stay together, and which need the machine to themselves.

`make test` runs pytest with three workers (pytest-xdist). A test with the marker `alone` measures time, loads
the whole machine or drives a browser: it waits until no other test runs, and others wait for it.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

_PROOFS = "tests/proofs/test_proofs.py"
_ENGINES = ("tests/docker", "tests/stack")


def shared_folder(config: pytest.Config) -> Path:
    """A folder that all workers of one test run share, and nobody else."""
    own: Path = config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    return own.parent if hasattr(config, "workerinput") else own


@contextmanager
def turn(folder: Path, alone: bool) -> Iterator[None]:
    """Hold the right to run a test: together with others, or alone.

    Whoever waits holds the gate meanwhile, so that a test that wants to be alone is not overtaken for ever.

    Args:
        folder: Where the two lock files are.
        alone: Wait until no other test runs, and let none begin.
    """
    with ExitStack() as files:
        gate = files.enter_context((folder / "gate.lock").open("w"))
        machine = files.enter_context((folder / "machine.lock").open("w"))
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield  # closing the file gives the lock back


def wants_to_be_alone(item: pytest.Item) -> bool:
    """True for a test with the marker `alone`, but for one that is skipped anyway: that need not wait."""
    skipped = any(True in mark.args for mark in item.iter_markers("skipif"))
    return item.get_closest_marker("alone") is not None and not skipped


def group(nodeid: str) -> str:
    """The group of a test: its members run one after the other in one worker, since they share a server.

    A group is a file. The proofs of one exercise are a group of their own: each worker has its own server
    for them, and they are the longest tests of all. The tests of a folder that needs a container engine share
    that engine.
    """
    path, _, rest = nodeid.partition("::")
    for folder in _ENGINES:
        if path.startswith(f"{folder}/"):
            return folder
    exercise = re.search(r"\[(\d+\.\d+)\]$", rest)
    if path == _PROOFS:
        return f"{path}::{exercise[1] if exercise else rest}"
    return path


def in_order(items: list[pytest.Item]) -> None:
    """Sort the groups, in place: the engines first, the proofs late, those that want to be alone last.

    The proofs are many groups, so all workers are busy until their end. Between other tests each one that
    wants to be alone would first wait for the other workers' tests, and then make them wait. A group with
    other tests, too, stays together: they share what they have made.
    """
    place: dict[str, int] = {}
    alone: dict[str, bool] = {}
    for item in items:
        name = group(item.nodeid)
        place.setdefault(name, len(place))
        alone[name] = alone.get(name, True) and wants_to_be_alone(item)

    def key(item: pytest.Item) -> tuple[bool, bool, bool, int]:
        name = group(item.nodeid)
        return alone[name], name.startswith(_PROOFS), name not in _ENGINES, place[name]

    items.sort(key=key)


class GroupScheduling(LoadScopeScheduling):
    """Hands whole groups to the workers, in the order of the tests.

    (The groups of pytest-xdist's own `--dist loadgroup` do nothing with pytest 9: it marks them in
    `item._nodeid`, and reports no longer carry that.)
    """

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
