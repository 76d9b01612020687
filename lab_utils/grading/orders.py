"""What goes into a sandbox and what comes out: orders in one piece, a report line by line. JSON both ways."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from lab_utils.grading.limits import Limits
from lab_utils.grading.places import Places

BOOT = """
import os, sys
root, user, pipe = sys.argv[1:4]
try:
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
except OSError:
    pass
if user:
    os.setgroups([])
    os.setresgid(*[int(user)] * 3)
    os.setresuid(*[int(user)] * 3)
sys.path.insert(0, root)
from lab_utils.grading.inside import main
sys.exit(main(int(pipe)))
"""
"""The first lines inside. Not `-m`: with -I the course is not on the path.

If memory is short on the machine, a run goes first. After `setresuid` nobody in a sandbox is root.
"""


@dataclass(frozen=True)
class Orders:
    """What a supervisor is to do.

    Attributes:
        lab: Two digits.
        notebook: Text of the submitted notebook.
        places: Where everything lies.
        limits: What the run may take.
        hidden: Text of the hidden checks, by file name.
        confined: It is in a sandbox.
        own_user: The limit on processes counts this run alone.
        lean: Cells of the course that only show something are not run.
    """

    lab: str
    notebook: str
    places: Places
    limits: Limits
    hidden: Mapping[str, str]
    confined: bool
    own_user: bool
    lean: bool = False

    def to_bytes(self) -> bytes:
        """The orders as they go through the pipe."""
        values = {
            **vars(self),
            "places": self.places.as_dict(),
            "limits": self.limits.as_dict(),
            "hidden": dict(self.hidden),
        }
        return json.dumps(values).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Orders:
        """The orders of `to_bytes`."""
        raw: dict[str, Any] = json.loads(data)
        raw["places"] = Places.from_dict(raw["places"])
        raw["limits"] = Limits.from_dict(raw["limits"])
        return cls(**raw)


class Outbox:
    """The supervisor's report: one JSON object per line, `event` says what it is. Any thread may write.

    Args:
        descriptor: The pipe. No child of this process inherits it.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._file: BinaryIO = os.fdopen(descriptor, "wb", buffering=0)
        self._lock = threading.Lock()

    def send(self, event: str, **facts: Any) -> None:
        """Write one line. When nobody reads any more, there is nobody to tell."""
        data = memoryview(json.dumps({"event": event, **facts}, default=repr).encode() + b"\n")
        with self._lock:
            while data:
                try:
                    data = data[self._file.write(data) :]
                except OSError:
                    return
