"""Submissions of Lab 1 that try to get what they have not earned, or to break the machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nbformat import NotebookNode

from tests.grading.forty import changes
from tests.grading.sandbox.attacks import LIARS, SPY
from tests.grading.sandbox.made import WRONG_HTTP
from tests.grading.sandbox.test_attacks import ENDINGS

PART = frozenset({"1.1", "1.2", "1.3"})
"""What most of them have solved: exercises that need no server."""


@dataclass(frozen=True)
class Attack:
    """What is handed in, and what comes of it.

    Attributes:
        make: Makes the notebook, with a port and folders that it may try to reach.
        earns: The exercises that pass.
        cause: Why the run gave no full answer; empty when it did.
        says: Words that a verdict must hold.
        changed: Words that the list of what was put back must hold.
    """

    make: Callable[[int, list[str]], NotebookNode]
    earns: frozenset[str] = frozenset()
    cause: str = ""
    says: Mapping[str, str] = field(default_factory=dict)
    changed: str = ""


def _partly() -> NotebookNode:
    return changes.partly("01", PART)


def _lies(*names: str) -> Attack:
    """Wrong answers, and cells that say they are right."""
    wrong = changes.with_answer(changes.released("01"), "1.5", WRONG_HTTP)
    notebook = changes.with_cells(wrong, *(LIARS[name] for name in names))
    return Attack(lambda port, secrets: notebook)


def _ends(source: str, cause: str = "", *, last: bool = False) -> Attack:
    """Right answers, and a cell that ends or hangs something."""
    earns = frozenset() if cause else PART
    return Attack(lambda port, secrets: changes.with_cells(_partly(), source, last=last), earns, cause)


def _changed(change: Callable[[NotebookNode], NotebookNode], words: str) -> Attack:
    """Right answers in cells to which something was done: they earn what they are worth."""
    return Attack(lambda port, secrets: change(_partly()), PART, changed=words)


def _spy(port: int, secrets: list[str]) -> NotebookNode:
    look = SPY.replace("PORT", str(port)).replace("OTHERS", repr(secrets))
    return changes.with_cells(_partly(), look)


FAKE_SERVER = """
import dataclasses, http.server, json, threading
from lab_utils import server as triton
from lab_utils.server import records

class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
    do_POST = do_GET
    def log_message(self, *args): pass

false = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Healthy)
threading.Thread(target=false.serve_forever, daemon=True).start()
record = triton.record("lab01")
ends = dataclasses.replace(record.endpoints, http=f"127.0.0.1:{false.server_port}")
records.path_of("lab01").write_text(json.dumps(dataclasses.replace(record, endpoints=ends).as_dict()))
"""


def _fake_server(port: int, secrets: list[str]) -> NotebookNode:
    """All answers are right, but the server that they are asked for is none."""
    notebook = changes.partly("01", {"1.5"})
    at = next(i for i, cell in enumerate(notebook.cells) if changes.answer_of(cell) == "1.5")
    notebook.cells.insert(at, changes.own(FAKE_SERVER, "own-server"))
    return notebook


FORK = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
HOG = (
    "import subprocess, sys, time\n"
    "code = 'import time; x = bytearray(1 << 29); x[::4096] = b\"x\" * len(x[::4096]); time.sleep(60)'\n"
    "crowd = [subprocess.Popen([sys.executable, '-c', code]) for _ in range(14)]\n"
    "time.sleep(60)"
)
FILL = (
    "import time\nwith open('/tmp/big', 'wb') as file:\n"
    "    try:\n        while True:\n            file.write(bytes(1 << 20))\n"
    "    except OSError:\n        pass\n    time.sleep(30)"
)

ATTACKS: dict[str, Attack] = {
    "edited-checks": Attack(
        lambda port, secrets: changes.with_own_checks(changes.partly("01", {"1.1"})),
        frozenset({"1.1"}),
        changed="was changed; it is the released one again",
    ),
    "patched-library": _lies("a patched library"),
    "patched-client": _lies("a patched client"),
    "forged-progress": _lies("a forged progress file"),
    "own-judge": _lies("another judge", "a report of its own"),
    "fake-server": Attack(_fake_server, says={"1.5": "does not listen on HTTP port"}),
    "sys-exit": _ends("import sys\nsys.exit(0)"),
    "endless": _ends("while True:\n    pass", "time"),
    "fork-bomb": _ends(FORK, "processes"),
    "killed-kernel": _ends(ENDINGS["kill everything"][0], "kernel died", last=True),
    "all-memory": _ends(HOG, "memory"),
    "full-disk": _ends(FILL, "disk"),
    "deleted": _changed(changes.without_checks, "was missing; it is there again"),
    "copied": _changed(changes.copied, "taken out"),
    "reordered": _changed(changes.reordered, "released order again"),
    "converted": _changed(changes.converted, "it is code again"),
    "reader-of-solutions": Attack(_spy, PART),
}
