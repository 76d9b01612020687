"""Write all results of a batch into its folder."""

from __future__ import annotations

import json
from collections.abc import Sequence

from lab_utils.grading.analysis import Item, analyse, items_csv
from lab_utils.grading.batch import Batch
from lab_utils.grading.formats import canvas_csv, grades_csv, grades_json, nbgrader_csv
from lab_utils.grading.remarks import remarks
from lab_utils.grading.reports import write_reports
from lab_utils.grading.state import BatchFolder, write_shown

_FORMATS = {"canvas": canvas_csv, "nbgrader": nbgrader_csv}


def write_outputs(
    batch: Batch, out: BatchFolder, formats: Sequence[str] = ()
) -> tuple[list[Item], list[str]]:
    """Write the tables, the reports and the item analysis.

    Args:
        batch: The graded batch.
        out: Its folder.
        formats: Imports to write as well: `canvas`, `nbgrader`. One that is there already is written, too:
            an old one beside new grades would be taken for theirs.

    Returns:
        The items of the analysis, and remarks for the teacher.
    """
    text = grades_json(batch)
    items = analyse(json.loads(text)["students"])
    write_reports(batch, out, items)
    warnings = remarks(batch)
    there = [name for name in _FORMATS if (out.root / f"{name}.csv").exists()]
    for name in dict.fromkeys([*formats, *there]):
        table, more = _FORMATS[name](batch)
        write_shown(out.root / f"{name}.csv", table)
        warnings += [f"{name}.csv: {warning}" for warning in more]
    write_shown(out.root / "items.csv", items_csv(items))
    write_shown(out.root / "grades.json", text)
    write_shown(out.root / "grades.csv", grades_csv(batch))
    return items, warnings
