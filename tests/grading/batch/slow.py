"""A batch whose notebooks take a moment each: `python -m tests.grading.batch.slow CLASS OUT LOG`.

The tests kill it with SIGKILL at any moment and start it again.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from lab_utils.grading.batch import run_batch
from lab_utils.grading.outputs import write_outputs
from lab_utils.grading.plan import CoursePlan, LabPlan
from lab_utils.grading.results import LabResult
from lab_utils.grading.state import BatchFolder
from tests.grading.batch.made import TextRunner

PLAN = CoursePlan(labs=(LabPlan("01"),))
SECONDS = 0.05


def main(submissions: Path, out: Path, log: Path) -> None:
    """Grade; write a line to the log when a notebook begins."""
    inner = TextRunner(PLAN)

    def runner(lab: str, notebook: Path) -> tuple[LabResult, bytes | None]:
        with log.open("a") as file:
            file.write(f"{notebook.parent.parent.name}\n")
        time.sleep(SECONDS)
        return inner(lab, notebook)

    folder = BatchFolder(out)
    with folder.opened(submissions):
        write_outputs(run_batch(submissions, folder, PLAN, runner, jobs=2), folder)


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
