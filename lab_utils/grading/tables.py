"""Read a TOML table that a person wrote: each fault is named by its place, with what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from datetime import date, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lab_utils.errors import LabError


class Reader:
    """One table of a file. What is not taken from it is refused at the end."""

    def __init__(self, file: str, place: str, raw: Any) -> None:
        if not isinstance(raw, dict):
            raise LabError(f"{file}: {place} is not a table.", fix=f"Write it as [{place}].")
        self._file, self._place, self._raw = file, place, raw
        self._taken: set[str] = set()
        self._tables: dict[str, Reader] = {}

    def name_of(self, key: str) -> str:
        """Where a key stands, for a message: `course.toml: late.per_day`."""
        return f"{self._file}: {self._place + '.' if self._place else ''}{key}"

    def has(self, key: str) -> bool:
        """Whether the table has this key."""
        self._taken.add(key)  # asked for, so it is a key that means something
        return key in self._raw

    def take(self, key: str) -> Any:
        """The value of a key as it is; None when it is not there."""
        self._taken.add(key)
        return self._raw.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        """A text. Without a default it must be there."""
        value = self._value(key, default)
        if not isinstance(value, str):
            raise LabError(f"{self.name_of(key)} is not a text.", fix=f'Write it in quotes: {key} = "..."')
        return value

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise LabError(f"{self.name_of(key)} is neither true nor false.", fix=f"Write {key} = true")
        return value

    def choice(self, key: str, allowed: Sequence[str], default: str | None = None) -> str:
        """One of some texts."""
        value = self.text(key, default)
        if value not in allowed:
            near = difflib.get_close_matches(value, allowed, n=1)
            also = f" Do you mean {near[0]!r}?" if near else ""
            shown = ", ".join(allowed if len(allowed) <= 8 else (*allowed[:6], "..."))
            raise LabError(f"{self.name_of(key)} is {value!r}.", fix=f"Possible: {shown}.{also}")
        return value

    def number(
        self,
        key: str,
        default: float | None = None,
        *,
        least: float | None = None,
        most: float | None = None,
        above: bool = False,
    ) -> float:
        """A number between two bounds. Without a default it must be there.

        Args:
            key: Its key.
            default: The value when it is not there.
            least: The least value.
            most: The greatest value.
            above: The number must be greater than `least`.
        """
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            raise LabError(f"{self.name_of(key)} is not a number.", fix=f"For example {key} = 0.5")
        low = least is not None and (value < least or (above and value == least))
        if low or (most is not None and value > most):
            bounds = [f"{'more than' if above else 'at least'} {least:g}"] if least is not None else []
            bounds += [f"at most {most:g}"] if most is not None else []
            raise LabError(f"{self.name_of(key)} is {value:g}.", fix=f"It must be {' and '.join(bounds)}.")
        return value

    def table(self, key: str) -> Reader:
        """A table in this one; empty when it is not there."""
        if key not in self._tables:
            place = f"{self._place}.{key}" if self._place else key
            value = self.take(key)
            self._tables[key] = Reader(self._file, place, {} if value is None else value)
        return self._tables[key]

    def tables(self, key: str) -> list[Reader]:
        """The tables of a list of tables, `[[key]]`."""
        value = self.take(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise LabError(f"{self.name_of(key)} is not a list of tables.", fix=f"Write it as [[{key}]].")
        return [Reader(self._file, f"{key}[{number}]", one) for number, one in enumerate(value)]

    def keys_of(self, allowed: Iterable[str], what: str) -> list[str]:
        """All keys of the table, each of which must be one of those allowed."""
        known = set(allowed)
        for key in self._raw:
            self._taken.add(key)
            if key not in known:
                same = [one for one in sorted(known) if one.partition(".")[0] == key.partition(".")[0]]
                near = difflib.get_close_matches(key, same or sorted(known), n=3)
                fix = f"Do you mean {' or '.join(map(repr, near))}?" if near else "Take it out."
                raise LabError(f"{self.name_of(repr(key))} is not {what}.", fix=fix)
        return list(self._raw)

    def refuse_others(self) -> None:
        """Refuse a key that nobody took: a typing error must not silently change a grade."""
        for key in self._raw:
            if key not in self._taken:
                near = difflib.get_close_matches(key, self._taken, n=1)
                fix = (
                    f"Do you mean {near[0]!r}?" if near else f"Known here: {', '.join(sorted(self._taken))}."
                )
                raise LabError(f"{self.name_of(key)} means nothing.", fix=fix)

    def _value(self, key: str, default: Any) -> Any:
        value = self.take(key)
        if value is None:
            if default is None:
                raise LabError(
                    f"{self.name_of(key)} is missing.", fix="Write it down, or take the table out."
                )
            return default
        return value


def zone_named(name: str, file: str) -> tzinfo | None:
    """The time zone of a name such as `Europe/Berlin`; None for no name.

    Raises:
        LabError: This machine knows no such zone.
    """
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise LabError(
            f"{file}: the time zone {name!r} is not known.",
            fix='For example "Europe/Berlin"; or give every time its own: 2026-11-30T23:59:00+01:00',
        ) from error


def as_time(value: Any, zone: tzinfo | None, place: str) -> datetime:
    """A moment with a time zone, from a TOML date-time or a text in ISO 8601.

    Args:
        value: What the file says. A time without a zone is one of `zone`.
        zone: The file's own time zone.
        place: Where it stands, for the message.

    Raises:
        LabError: It is no moment, or nobody can tell its time zone.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            value = None
    if not isinstance(value, datetime):
        also = " A day alone does not say the hour." if isinstance(value, date) else ""
        raise LabError(
            f"{place} is not a date with a time.{also}", fix="For example 2026-11-30T23:59:00+01:00"
        )
    if value.tzinfo is None:
        if zone is None:
            raise LabError(
                f"{place} has no time zone: {value.isoformat()}",
                fix='Write one: 2026-11-30T23:59:00+01:00. Or one for all: timezone = "Europe/Berlin"',
            )
        value = value.replace(tzinfo=zone)
    return value
