"""Read a lab source (jupytext percent format) into cells that know their line number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lab_utils.notebooks.problems import MalformedSource, Problem

_MARKER = re.compile(r"^# %%")


@dataclass(frozen=True)
class SourceCell:
    """One cell of a lab source.

    Attributes:
        kind: `"markdown"` or `"code"`.
        text: The cell as a notebook shows it: no comment signs before Markdown, magics uncommented.
        line: Line of the cell's first text in the source file (1-based).
        tags: Tags the author wrote on the cell's marker, for example `# %% tags=["show"]`.
    """

    kind: Literal["markdown", "code"]
    text: str
    line: int
    tags: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """The cell's lines without line ends."""
        return self.text.split("\n")


def lab_number(path: Path) -> str:
    """The two digits in front of a lab's file name: `"01"` of `01-Triton_Setup.py`.

    Raises:
        MalformedSource: The name does not begin with two digits and a hyphen.
    """
    match = re.match(r"(\d\d)-", path.name)
    if not match:
        raise MalformedSource(
            [Problem(path.name, 1, "", "the file name must begin with two digits, as in 01-Title.py")]
        )
    return match.group(1)


def read_source(path: Path) -> list[SourceCell]:
    """Read a percent file with jupytext and add the line numbers that jupytext forgets.

    Args:
        path: The `.py` source.

    Returns:
        The cells in order.

    Raises:
        MalformedSource: Text stands before the first `# %%`, or a line that looks like a cell
            marker stands inside a string, so that cells and lines cannot be matched.
    """
    import jupytext  # an authoring tool: students who only work on notebooks need not have it

    content = path.read_text(encoding="utf-8")
    notebook = jupytext.reads(content, fmt="py:percent")
    rows = content.split("\n")
    markers = [number for number, row in enumerate(rows) if _MARKER.match(row)]
    if len(markers) != len(notebook.cells):
        raise MalformedSource(
            [
                Problem(
                    path.name,
                    markers[0] + 1 if markers else 1,
                    "",
                    f"{len(markers)} lines begin with '# %%' but the file has {len(notebook.cells)} cells: "
                    "put nothing before the first '# %%' and no such line inside a string",
                )
            ]
        )
    cells = []
    for marker, cell in zip(markers, notebook.cells, strict=True):
        first = marker + 1
        while first < len(rows) and rows[first].strip() in ("", "#"):
            first += 1
        kind: Literal["markdown", "code"] = "code" if cell.cell_type == "code" else "markdown"
        cells.append(SourceCell(kind, cell.source, first + 1, tuple(cell.metadata.get("tags", ()))))
    return cells
