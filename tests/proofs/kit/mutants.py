"""Mechanical mutants: one small wrong change each, made in the syntax tree of a reference answer."""

from __future__ import annotations

import ast
import copy
from collections.abc import Container, Iterator
from dataclasses import dataclass

_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE,
    ast.GtE: ast.Gt, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One changed answer.

    Attributes:
        key: Stable name: exercise, kind of change, old and new text, function. No line numbers, so
            that it survives edits elsewhere.
        code: Source of the whole answer cell with the change.
    """

    key: str
    code: str


def mutants(id: str, tree: ast.Module, lines: Container[int] | None = None) -> Iterator[Mutant]:
    """All mutants of one answer cell. Docstrings, signatures, annotations and imports are left alone.

    Args:
        id: The exercise.
        tree: The cell.
        lines: Change these lines only (1-based): what the student writes, not what is given.
    """
    seen: dict[str, int] = {}
    for path, owner in list(_sites(tree)):
        if lines is not None and getattr(_at(tree, path), "lineno", 0) not in lines:
            continue
        for kind, change in _changes(_at(tree, path)):
            mutated = copy.deepcopy(tree)
            before = _text(_at(mutated, path))
            _put(mutated, path, change)
            try:
                code = ast.unparse(ast.fix_missing_locations(mutated))
                compile(code, "<mutant>", "exec")
            except (SyntaxError, ValueError, TypeError):
                continue
            after = "nothing" if isinstance(change, ast.Pass) else _text(change)
            key = f"{id} {kind}: {before} -> {after}" + (f" in {owner}" if owner else "")
            seen[key] = seen.get(key, 0) + 1
            yield Mutant(key if seen[key] == 1 else f"{key} #{seen[key]}", code)


Path = tuple[tuple[str, int | None], ...]


def _sites(node: ast.AST, path: Path = (), owner: str = "") -> Iterator[tuple[Path, str]]:
    """Every place in the code that may be changed, with the function it stands in."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "args") and not isinstance(node, ast.Call):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else ((None, value),):
            if not isinstance(child, ast.AST) or isinstance(child, ast.Import | ast.ImportFrom):
                continue
            if field == "body" and index == 0 and _is_docstring(node, child):
                continue
            here = (*path, (field, index))
            inside = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else owner
            yield here, owner
            yield from _sites(child, here, inside)


def _is_docstring(parent: ast.AST, child: ast.AST) -> bool:
    holder = isinstance(parent, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    text = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
    return holder and text and isinstance(child.value.value, str)  # type: ignore[attr-defined]


def _at(tree: ast.AST, path: Path) -> ast.AST:
    node = tree
    for field, index in path:
        value = getattr(node, field)
        node = value if index is None else value[index]
    return node


def _put(tree: ast.AST, path: Path, new: ast.AST) -> None:
    parent = _at(tree, path[:-1])
    field, index = path[-1]
    if index is None:
        setattr(parent, field, new)
    else:
        getattr(parent, field)[index] = new


def _text(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())[:80]


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The changed forms of one node."""
    if isinstance(node, ast.Constant):
        yield from _constants(node)
    elif isinstance(node, ast.Compare):
        for position, operator in enumerate(node.ops):
            new = copy.deepcopy(node)
            new.ops[position] = _COMPARE[type(operator)]()
            yield "comparison", new
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        new_op = copy.deepcopy(node)
        new_op.op = _ARITHMETIC[type(node.op)]()
        yield "arithmetic", new_op
    elif isinstance(node, ast.BoolOp):
        new_bool = copy.deepcopy(node)
        new_bool.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "and/or", new_bool
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield "sign", copy.deepcopy(node.operand)
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        negated = copy.deepcopy(node)
        negated.test = ast.UnaryOp(ast.Not(), negated.test)
        yield "condition", negated
    elif isinstance(node, ast.Call):
        yield from _calls(node)
    if isinstance(node, ast.Return) and node.value is not None:
        yield "return", ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Assign | ast.AugAssign | ast.Expr | ast.Raise | ast.Delete | ast.Assert):
        yield "deletion", ast.Pass()


def _constants(node: ast.Constant) -> Iterator[tuple[str, ast.AST]]:
    value = node.value
    if isinstance(value, bool):
        yield "boolean", ast.Constant(not value)
    elif isinstance(value, int | float):
        yield "number", ast.Constant(value + 1)
    elif isinstance(value, str) and value:
        yield "text", ast.Constant(value + "_x")
    elif isinstance(value, bytes) and value:
        yield "text", ast.Constant(value + b"_x")


def _calls(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    """The same call without one of its keyword arguments, or without its last positional one."""
    for position in range(len(node.keywords)):
        new = copy.deepcopy(node)
        del new.keywords[position]
        yield "argument", new
    if node.args:
        new = copy.deepcopy(node)
        del new.args[-1]
        yield "argument", new
