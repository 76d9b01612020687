"""Rules about model.py. It is parsed, never imported."""

from __future__ import annotations

import ast
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from lab_utils.repository.lint.facts import ServerFacts
from lab_utils.repository.lint.model import Model
from lab_utils.repository.lint.registry import ERROR, WARNING, Hit, Hits, rule

GROUP = "The Python model"
CLASS = "TritonPythonModel"
_GIVEN = {"triton_python_backend_utils", "c_python_backend_utils"}


def _sources(model: Model) -> Iterator[tuple[int, Path]]:
    if model.backend.name == "python":
        for version, path in model.files.items():
            if path.is_file() and path.suffix == ".py" and path.stat().st_size:
                yield version, path


def _parse(path: Path) -> ast.Module | SyntaxError | ValueError:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(path.read_bytes(), filename=path.name)
    except (SyntaxError, ValueError) as error:
        return error


def _trees(model: Model) -> Iterator[tuple[str, ast.Module, Path]]:
    for _, path in _sources(model):
        tree = _parse(path)
        if isinstance(tree, ast.Module):
            yield str(path.relative_to(model.folder)), tree, path


@rule("python-syntax", ERROR, "A model.py that Python cannot parse.", group=GROUP, whole=False)
def python_syntax(model: Model, facts: ServerFacts) -> Hits:
    """The stub imports the file; a syntax error ends the load."""
    for _, path in _sources(model):
        error = _parse(path)
        if not isinstance(error, ast.Module):
            line = getattr(error, "lineno", None)
            yield Hit(
                f"{path.name} is no valid Python {sys.version_info.major}.{sys.version_info.minor}: "
                f"{getattr(error, 'msg', None) or error}.",
                f"Correct it; `python -m py_compile {path.name}` checks it without Triton.",
                file=str(path.relative_to(model.folder)),
                line=line,
            )


def _binds(tree: ast.Module, name: str) -> bool:
    """Whether the module gives a name a meaning, in any way that can be seen from its text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return True
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store):
            return True
        imported = node.names if isinstance(node, ast.ImportFrom | ast.Import) else []
        if any((a.asname or a.name) in (name, "*") for a in imported):
            return True
        if isinstance(node, ast.Constant) and node.value == name:
            return True  # globals()["TritonPythonModel"], setattr(...): not ours to judge
    return False


@rule("python-class", ERROR, "A model.py without the class `TritonPythonModel`.", group=GROUP, whole=False)
def python_class(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `module '1.model' has no attribute 'TritonPythonModel'`."""
    for file, tree, path in _trees(model):
        if not _binds(tree, CLASS):
            classes = [n for n in tree.body if isinstance(n, ast.ClassDef)]
            has = f"; it has `{classes[0].name}`" if classes else ""
            yield Hit(
                f"{path.name} has no class `{CLASS}`{has}.",
                f"Name the class `{CLASS}`.",
                file=file,
                line=classes[0].lineno if classes else None,
            )


def _classes(tree: ast.Module) -> Iterator[ast.ClassDef]:
    """The model's class, where nothing can be inherited or added from elsewhere."""
    found = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == CLASS]
    if len(found) != 1 or found[0].decorator_list or found[0].keywords:
        return
    if all(isinstance(b, ast.Name) and b.id == "object" for b in found[0].bases):
        yield found[0]


def _methods(node: ast.ClassDef) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    return {n.name: n for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}


@rule(
    "python-execute",
    WARNING,
    "A `TritonPythonModel` without `execute(self, requests)`.",
    group=GROUP,
    whole=False,
)
def python_execute(model: Model, facts: ServerFacts) -> Hits:
    """Tried: READY, and every request fails."""
    for file, tree, path in _trees(model):
        for node in _classes(tree):
            method = _methods(node).get("execute")
            assigned = any(isinstance(n, ast.Assign) for n in node.body)
            if method is None and not assigned:
                yield Hit(
                    f"`{CLASS}` in {path.name} has no `execute`: it loads, and every request fails.",
                    "Add `def execute(self, requests):` that returns one response for each request.",
                    file=file,
                    line=node.lineno,
                )
            elif method is not None and not _takes(method, 2):
                yield Hit(
                    "`execute` must take `self` and `requests`: every request fails.",
                    "Write `def execute(self, requests):`.",
                    file=file,
                    line=method.lineno,
                )


def _takes(method: ast.FunctionDef | ast.AsyncFunctionDef, count: int, *, decorated: bool = True) -> bool:
    """Whether a call with so many positional arguments (with `self`) works; True when nobody can tell."""
    if method.decorator_list and decorated:
        return True
    most = len(method.args.posonlyargs) + len(method.args.args)
    least = most - len(method.args.defaults)
    return (least <= count <= most or (method.args.vararg is not None and least <= count)) and not [
        d for d in method.args.kw_defaults if d is None
    ]


@rule(
    "python-signature",
    ERROR,
    "`initialize` or `auto_complete_config` with the wrong arguments, or without an answer.",
    group=GROUP,
    whole=False,
)
def python_signature(model: Model, facts: ServerFacts) -> Hits:
    """Triton calls `initialize(args)` on the object and `auto_complete_config(config)` on the class."""
    for file, tree, _ in _trees(model):
        for node in _classes(tree):
            methods = _methods(node)
            initialize = methods.get("initialize")
            if initialize is not None and not _takes(initialize, 2):
                yield Hit(
                    "`initialize` must take `self` and `args`.",
                    "Write `def initialize(self, args):`.",
                    file=file,
                    line=initialize.lineno,
                )
            complete = methods.get("auto_complete_config")
            if complete is None or not facts.auto_complete:
                continue
            if not _takes_class_call(complete):
                yield Hit(
                    "`auto_complete_config` is called on the class, with the config alone.",
                    "Put `@staticmethod` above it and take `self` out.",
                    file=file,
                    line=complete.lineno,
                )
            elif not any(isinstance(n, ast.Return | ast.Raise) for n in ast.walk(complete)):
                yield Hit(
                    "`auto_complete_config` returns nothing; it must return the config.",
                    "End it with `return` and the config that it was given.",
                    file=file,
                    line=complete.lineno,
                )


def _takes_class_call(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether `TritonPythonModel.auto_complete_config(config)` can be called."""
    plain = [d.id for d in method.decorator_list if isinstance(d, ast.Name)]
    if plain == ["staticmethod"]:
        return _takes(method, 1, decorated=False)
    return _takes(method, 1)


@rule(
    "python-import",
    ERROR,
    "A model.py that imports a module which is not installed.",
    group=GROUP,
    whole=False,
)
def python_import(model: Model, facts: ServerFacts) -> Hits:
    """Looked up, not imported; only what stands at the top of the file, outside `try` and `if`."""
    if not facts.local or "EXECUTION_ENV_PATH" in model.config.parameters:
        return
    for file, tree, path in _trees(model):
        for name, line in _imports(tree):
            if not _importable(name, path, model.folder):
                yield Hit(
                    f"The module `{name}` is not installed in the server's Python.",
                    f"Install it there (`pip install` the package that brings `{name}`).",
                    file=file,
                    line=line,
                )


def _imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """First part of the name of every module that is imported without condition."""
    seen: set[str] = set()
    for node in tree.body:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
        elif isinstance(node, ast.Expr | ast.Assign | ast.If | ast.For | ast.With) and _touches_path(node):
            return  # from here on sys.path is the model's own
        for name in (n.split(".")[0] for n in names):
            if name not in seen:
                seen.add(name)
                yield name, node.lineno


def _touches_path(node: ast.AST) -> bool:
    text = ast.dump(node)
    return "'path'" in text or "importlib" in text or "subprocess" in text or "'system'" in text


def _importable(name: str, path: Path, folder: Path) -> bool:
    if name in _GIVEN or name in sys.builtin_module_names or name in sys.stdlib_module_names:
        return True
    for place in (path.parent, folder, folder.parent):
        if (place / name).is_dir() or any(place.glob(f"{name}.*")):
            return True
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False
