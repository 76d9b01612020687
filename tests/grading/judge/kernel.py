"""A student's kernel without Jupyter: defines answers as it is told, and lets the judge check them.

Each line on stdin is a JSON object: `id` (the exercise), `code` (run first, in a copy of the right answers),
`path` (the judge's socket). The verdict, or what went wrong, is a line on the original stdout.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import Any

from lab_utils.errors import LabError
from lab_utils.grading.judge.client import ask_judge
from lab_utils.lab import Lab
from tests.proofs.kit.labs import SourceCode, discover, execute


def base_names(lab: str) -> dict[str, Any]:
    """Imports, helpers and the right answers of a lab; of none for an empty number."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for under in discover():
        if under.spec.number == lab:
            names["lab"] = Lab(lab, namespace={})
            SourceCode(under.source).run_base(names)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    return names


def main() -> None:
    """Serve the lines on stdin."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what students print is no answer
    base = base_names(sys.argv[1])
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        names = dict(base)
        with suppress(LabError, KeyError):
            names["server"] = base["lab"].server
        try:
            execute(task["code"], names, f"answer {task['id']}")
            answer = ask_judge(task["path"], task["id"], names).as_dict()
        except BaseException as error:
            answer = {"broken": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer, default=repr), file=answers, flush=True)


if __name__ == "__main__":
    main()
