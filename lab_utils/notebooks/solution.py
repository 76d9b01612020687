"""Solution blocks of a code cell: the complete text, the student's stub, and leaks between them.

Inside a block, lines `#: text` are the stub's comments: the student reads `# text`, the complete
notebook drops them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from IPython.core.inputtransformer2 import TransformerManager

BEGIN = "### BEGIN SOLUTION"
END = "### END SOLUTION"
_STUB_COMMENT = re.compile(r"^\s*#: ?(.*)$")
# Lines that say nothing about how an exercise is solved; they never count as a leak.
_TRIVIAL = re.compile(r"^(return(\s+\w+)?|pass|else:|try:|finally:|[)\]},:\s]*)$")


class MarkerError(ValueError):
    """Solution markers that do not pair. `offset` is the line inside the cell (0-based)."""

    def __init__(self, offset: int, text: str) -> None:
        super().__init__(text)
        self.offset = offset


@dataclass(frozen=True)
class Block:
    """One solution block.

    Attributes:
        start: Line of `### BEGIN SOLUTION` in the cell (0-based).
        end: Line of `### END SOLUTION`.
        indent: Spaces before the begin marker.
        owner: The enclosing function (`"Class.method"` for a method), or empty.
        comments: The stub's comments, without `#: `.
        code: The solution's lines, without the stub's comments.
    """

    start: int
    end: int
    indent: str
    owner: str
    comments: tuple[str, ...]
    code: tuple[str, ...]


def find_blocks(text: str) -> list[Block]:
    """Find the solution blocks of a cell.

    Raises:
        MarkerError: A marker without its partner, nested blocks, a misspelt marker, or a stub
            comment outside a block.
    """
    lines = text.split("\n")
    blocks: list[Block] = []
    start: int | None = None
    for number, line in enumerate(lines):
        mark = line.strip()
        if mark == BEGIN:
            if start is not None:
                raise MarkerError(number, f"'{BEGIN}' inside a solution block that is still open")
            start = number
        elif mark == END:
            if start is None:
                raise MarkerError(number, f"'{END}' without '{BEGIN}' before it")
            blocks.append(_block(lines, start, number))
            start = None
        elif re.match(r"#+\s*(BEGIN|END)\s*SOLUTION", mark, re.IGNORECASE):
            raise MarkerError(number, f"'{mark}' is not a marker: write '{BEGIN}' or '{END}'")
        elif start is None and mark.startswith("#: "):
            raise MarkerError(number, "a stub comment '#: ' outside a solution block")
    if start is not None:
        raise MarkerError(start, f"'{BEGIN}' without '{END}' in the same cell")
    return blocks


def _block(lines: list[str], start: int, end: int) -> Block:
    indent = lines[start][: len(lines[start]) - len(lines[start].lstrip())]
    comments, code = [], []
    for line in lines[start + 1 : end]:
        match = _STUB_COMMENT.match(line)
        if match:
            comments.append(match.group(1))
        else:
            code.append(line)
    while code and not code[0].strip():
        code.pop(0)
    while code and not code[-1].strip():
        code.pop()
    return Block(start, end, indent, _owner(lines, start, len(indent)), tuple(comments), tuple(code))


def _owner(lines: list[str], start: int, width: int) -> str:
    names: list[str] = []
    for line in reversed(lines[:start]):
        match = re.match(r"^(\s*)(?:async\s+def|def|class)\s+(\w+)", line)
        if match and len(match.group(1)) < width:
            names.insert(0, match.group(2))
            width = len(match.group(1))
    return ".".join(names)


def complete_text(text: str) -> str:
    """The cell of the complete notebook: the solution without markers and stub comments."""
    return _replace(text, lambda block: list(block.code))


def student_text(text: str, exercise: str) -> str:
    """The cell of the student notebook: each block becomes its comments and a `raise`."""

    def stub(block: Block) -> list[str]:
        what = f"{block.owner} is" if block.owner else "this part is"
        comments = [f"{block.indent}# {comment}".rstrip() for comment in block.comments]
        return [*comments, f'{block.indent}raise NotImplementedError("{exercise}: {what} not written yet")']

    return _replace(text, stub)


def _replace(text: str, fill: Callable[[Block], list[str]]) -> str:
    lines = text.split("\n")
    for block in reversed(find_blocks(text)):
        lines[block.start : block.end + 1] = fill(block)
    return "\n".join(lines)


def parse(text: str) -> ast.Module:
    """Parse a code cell the way IPython does (magics and shell lines allowed).

    Raises:
        SyntaxError: The cell is not Python.
    """
    return ast.parse(TransformerManager().transform_cell(text))


def stubs_in(tree: ast.Module) -> int:
    """How many `raise NotImplementedError(...)` statements a parsed cell holds."""
    return sum(
        isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
        and node.exc.func.id == "NotImplementedError"
        for node in ast.walk(tree)
    )


def defined_names(tree: ast.Module) -> set[str]:
    """Names that a parsed cell defines at its top level (functions, classes, assignments)."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
    return names


def leaks(block: Block, shown: Iterable[str]) -> int | None:
    """Find a solution that the student can read elsewhere.

    A single line that also stands in an explanation is no leak: a lab shows before it asks. All
    telling lines of a block inside one cell are.

    Args:
        block: The solution block.
        shown: Texts of all cells of the student notebook, in order.

    Returns:
        Position of the first cell that gives the whole solution away, or None.
    """
    telling = {_flat(line) for line in block.code if not _TRIVIAL.match(line.strip())}
    telling = {line for line in telling if line and not line.startswith("#")}
    for position, text in enumerate(shown):
        present = {_flat(line) for line in text.split("\n")}
        if telling and telling <= present:
            return position
    return None


def _flat(line: str) -> str:
    return " ".join(line.split())
