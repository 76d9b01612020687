"""What differs between two configs, field by field: for example what auto-complete added."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from tritonclient.grpc.model_config_pb2 import ModelConfig


@dataclass(frozen=True)
class Difference:
    """One field that is not the same in two configs.

    Attributes:
        field: Its path, `instance_group[0].count`, `parameters[key].string_value`.
        before: Its value as a config.pbtxt writes it; None when it is not set there.
        after: The same for the second config.
    """

    field: str
    before: str | None
    after: str | None


def _written(field: Any, value: Any) -> str:
    """A value as it stands in a config.pbtxt."""
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return f'"{value}"' if isinstance(value, str) else str(value)


def _leaves(message: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every set field with a value, by path. Lists of plain values are one value: `dims` is `[1, 28, 28]`."""
    for field, value in message.ListFields():
        path = f"{prefix}.{field.name}" if prefix else field.name
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            kind = inner.fields_by_name["value"]
            for key in sorted(value):
                if kind.message_type is not None:
                    yield from _inside(value[key], f"{path}[{key}]")
                else:
                    yield f"{path}[{key}]", _written(kind, value[key])
        elif field.is_repeated and inner is not None:
            for index, one in enumerate(value):
                yield from _inside(one, f"{path}[{index}]")
        elif field.is_repeated:
            yield path, f"[{', '.join(_written(field, one) for one in value)}]"
        elif inner is not None:
            yield from _inside(value, path)
        else:
            yield path, _written(field, value)


def _inside(message: Any, path: str) -> Iterator[tuple[str, str]]:
    """The leaves of a block; an empty block is a value too (`dynamic_batching { }` switches something on)."""
    if message.ListFields():
        yield from _leaves(message, path)
    else:
        yield path, "{ }"


def diff_configs(before: ModelConfig, after: ModelConfig) -> list[Difference]:
    """All fields that differ, in the order of the schema; those of `before` alone come last."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    fields = [*new, *(field for field in old if field not in new)]
    return [Difference(f, old.get(f), new.get(f)) for f in fields if old.get(f) != new.get(f)]


def draw_diff(differences: list[Difference], *, before: str = "before", after: str = "after") -> str:
    """The differences as a table in plain text; `before` and `after` are the headings of the columns."""
    if not differences:
        return "No difference."
    table = Table("field", before, after, box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for one in differences:
        table.add_row(Text(one.field), Text(one.before or "-"), Text(one.after or "-"))
    sheet = Console(file=io.StringIO(), width=200, color_system=None, highlight=False)
    with sheet.capture() as capture:
        sheet.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())
