"""Whether a notebook leans on the cells that a lean run leaves out; then the whole of it must run.

Before the run its text tells it: a student's cell uses a name that only those cells give a value to. After
the run its words tell it: something was not there, such as a file or a model that those cells make.
"""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Iterable, Iterator

from IPython.core.inputtransformer2 import TransformerManager

from lab_utils.progress.registry import Status, Verdict

_UNSOLVED = ("NotImplementedError", "missing name")
_NOT_THERE = re.compile(
    r"NameError|KeyError|FileNotFoundError|no such file|"
    r"not defined|not found|unknown model|not ready|unavailable",
    re.IGNORECASE,
)


def speaks_of_something_missing(text: str) -> bool:
    """Whether an error or a verdict says that something was not there."""
    return _NOT_THERE.search(text) is not None


def is_enough(verdicts: Iterable[Verdict], missing: int) -> bool:
    """Whether a lean run that reached its end says all.

    Args:
        verdicts: Those of the run.
        missing: Cells that raised an error which speaks of something that was not there.
    """
    return missing == 0 and not any(_may_be_our_fault(one) for one in verdicts)


def _may_be_our_fault(verdict: Verdict) -> bool:
    """A FAIL of something that was written, for a thing that the cells left out may have made."""
    if verdict.status is not Status.FAIL or verdict.evidence.get("error") in _UNSOLVED:
        return False
    unjudged = verdict.evidence.get("judged") is False
    return unjudged or speaks_of_something_missing(f"{verdict.evidence.get('error', '')} {verdict.found}")


def bound_names(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that statements give a value to, at any depth."""
    names = set()
    for node in (one for top in nodes for one in ast.walk(top)):
        match node:
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case ast.Import() | ast.ImportFrom():
                names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
    return names


def global_names(source: str) -> set[str]:
    """Names that a cell takes from other cells: used in it, and given no value by it."""
    text = TransformerManager().transform_cell(source)
    try:
        top = symtable.symtable(text, "cell", "exec")
    except (SyntaxError, ValueError, RecursionError):
        return set()  # it cannot run either
    own = {one.get_name() for one in top.get_symbols() if one.is_assigned() or one.is_imported()}
    used = {
        one.get_name()
        for table in _tables(top)
        for one in table.get_symbols()
        if one.is_referenced() and (table is top or one.is_global())
    }
    return used - own


def _tables(top: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield top
    for below in top.get_children():
        yield from _tables(below)
