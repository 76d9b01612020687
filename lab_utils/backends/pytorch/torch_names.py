"""Which argument of forward() an input is, and which of its results an output is.

The rules are those of the C++ backend: by argument name when every input has one, else by the
index in `NAME__INDEX` when every name has one, else by the order in config.pbtxt. Outputs have no
names in TorchScript, so for them only the last two hold.
"""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils
from lab_backend import Config, refuse


def indexed(name: str) -> int | None:
    """The index in a name of the form `NAME__INDEX`, else None."""
    _, mark, index = name.partition("__")
    return int(index or "0") if mark and (index.isdigit() or not index) else None


def input_places(config: Config, arguments: list[Any]) -> list[str] | None:
    """Input names in the order of forward()'s arguments; None when it takes one Dict[str, Tensor].

    Args:
        config: The model's config.
        arguments: Arguments of forward() without `self`, from its schema.
    """
    where = f"unable to load model '{config.model}', "
    if len(arguments) == 1 and arguments[0].type.kind() == "DictType":
        return None
    for argument in arguments:
        if argument.type.kind() not in ("TensorType", "ListType"):
            refuse(
                f"{where}an input of type '{argument.type}' was detected in the model (argument "
                f"'{argument.name}'). Only a single input of type Dict(str, Tensor) or input(s) of type "
                "Tensor are supported."
            )
    allowed = [argument.name for argument in arguments]
    names = [entry.name for entry in config.inputs]
    expected = len(names) + len(config.controls)
    if expected != len(allowed):
        refuse(
            f"{where}configuration expects {expected} inputs, model provides {len(allowed)} "
            f"(configuration: {', '.join(names + config.controls)}; forward(): {', '.join(allowed)})"
        )
    if set(names) <= set(allowed):
        places = {name: allowed.index(name) for name in names}
    elif all(indexed(name) is not None for name in names):
        places = {name: indexed(name) or 0 for name in names}
    else:
        places = {name: place for place, name in enumerate(names)}
        if len(names) > 1:
            pb_utils.Logger.log_warn(
                f"inputs {names} of model '{config.model}' are neither all arguments of forward() "
                f"({', '.join(allowed)}) nor all <name>__<index>: they are taken in the order of the config"
            )
    for name in config.controls:
        if indexed(name) is None:
            refuse(f"input '{name}' does not follow <name>__<index> naming convention.")
        places[name] = indexed(name) or 0
    if sorted(places.values()) != list(range(len(allowed))):
        refuse(
            f"{where}the indices in the input names {sorted(places)} do not cover the {len(allowed)} "
            f"arguments of forward(): {', '.join(allowed)}"
        )
    return sorted(places, key=lambda name: places[name])


def output_places(config: Config) -> dict[str, int]:
    """The index of each output in what forward() returns."""
    names = [entry.name for entry in config.outputs]
    if all(indexed(name) is not None for name in names):
        return {name: indexed(name) or 0 for name in names}
    return {name: place for place, name in enumerate(names)}
