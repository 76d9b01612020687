"""What `lab.check` does in a graded run: ask the judge, serve its calls, and hand on its verdict."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab_utils.grading.judge.serving import Servant
from lab_utils.grading.judge.wire import Channel, Lost
from lab_utils.progress.registry import Status, Verdict, failed

_MOST_ANSWER = 1 << 30


def ask_judge(path: str | Path, id: str, namespace: Mapping[str, Any]) -> Verdict:
    """Let the judge check an exercise with the answers of this process.

    Args:
        path: The judge's socket.
        id: The exercise.
        namespace: Where the answers are, by name.

    Returns:
        The judge's verdict. It is for reading only: the judge has written it down elsewhere.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            channel = Channel(connection, most=_MOST_ANSWER)
            servant = Servant(channel, namespace)
            servant.tell("check", id, [name for name in list(namespace) if isinstance(name, str)])
            answer = servant.serve()
    except (OSError, Lost) as error:
        return failed(
            expected=f"the judge checks {id}",
            found=f"the judge does not answer: {error}",
            next_step="Report this to the instructor, with the whole notebook.",
            judged=False,
        )
    return Verdict(**{**answer, "status": Status(answer["status"])})
