"""Find Prometheus, Alertmanager and their two checkers, or say how to get them.

Looked for, in this order: the setting (`TRITON_LAB_PROMETHEUS`, `TRITON_LAB_ALERTMANAGER`), `PATH`, the
course's cache. `python -m lab_utils.monitoring.tools` fills the cache with Debian's packages; that needs
no root.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from lab_utils.errors import LabError
from lab_utils.paths import cache_home

SETTINGS = {
    "prometheus": "TRITON_LAB_PROMETHEUS",
    "promtool": "TRITON_LAB_PROMETHEUS",
    "alertmanager": "TRITON_LAB_ALERTMANAGER",
    "amtool": "TRITON_LAB_ALERTMANAGER",
}
"""The environment variable that names each program, or the folder that holds it."""
_FILES = {"alertmanager": ("alertmanager", "prometheus-alertmanager")}  # the second is Debian's name
_CHECKERS = ("promtool", "amtool")
_FETCH = "python -m lab_utils.monitoring.tools"


class MonitoringError(LabError):
    """Prometheus or Alertmanager is missing, did not start, or refused a rule or a query."""


def find_tool(name: str) -> Path:
    """The program of this name.

    Args:
        name: `prometheus`, `promtool`, `alertmanager` or `amtool`.

    Raises:
        MonitoringError: It is nowhere, or a setting names nothing. The message says how to get it.
    """
    if name not in SETTINGS:
        raise MonitoringError(f"`{name}` is none of the programs: {', '.join(SETTINGS)}.")
    named = os.environ.get(SETTINGS[name])
    if named:
        found = _named(name, Path(named).expanduser())
        if found is None:
            raise MonitoringError(
                f"{SETTINGS[name]} names no {name}: {named}",
                why="There is no such program in that place, or it may not be executed.",
                fix=f"Name the folder that holds {_or(name)}, or unset the variable.",
            )
        return found.absolute()
    on_path = next((p for p in map(shutil.which, _files(name)) if p), None)
    found = Path(on_path) if on_path else _first(name, [packages_root() / "usr" / "bin"])
    if found is None:
        raise MonitoringError(
            f"{name} is not on this machine.",
            why=f"{_or(name)} is neither on PATH nor in {packages_root()}, and {SETTINGS[name]} is not set.",
            fix=how_to_get(),
        )
    return found.absolute()


def how_to_get() -> str:
    """What to do where Prometheus and Alertmanager are missing, in words for this system."""
    if shutil.which("apt-get") and shutil.which("dpkg"):
        return (
            f"Run `{_FETCH}`: it fetches Debian's packages into the cache and needs no root. "
            "Or install them: `apt install prometheus prometheus-alertmanager`."
        )
    return (
        "Download Prometheus and Alertmanager from https://prometheus.io/download, unpack them, and set "
        f"{SETTINGS['prometheus']} and {SETTINGS['alertmanager']} to the two folders."
    )


def has_prometheus() -> bool:
    """True when Prometheus and promtool can be had. A setting that names nothing counts as no."""
    return _has("prometheus", "promtool")


def has_alertmanager() -> bool:
    """True when Alertmanager can be had."""
    return _has("alertmanager")


def packages_root() -> Path:
    """The folder in the cache that `fetch` unpacks Debian's packages into."""
    return cache_home() / "monitoring"


def fetch() -> Path:
    """Put Debian's packages of the programs into the cache, without root, unless they are there.

    Raises:
        MonitoringError: There is no apt here, or it could not get the packages (with its words).
    """
    from lab_utils.monitoring.packages import fetch_into

    root = packages_root()
    if any(_first(name, [root / "usr" / "bin"]) is None for name in SETTINGS):
        fetch_into(root)
    return root


def _has(*names: str) -> bool:
    try:
        return all(find_tool(name) for name in names)
    except MonitoringError:
        return False


def _files(name: str) -> tuple[str, ...]:
    return _FILES.get(name, (name,))


def _or(name: str) -> str:
    return " or ".join(f"`{file}`" for file in _files(name))


def _named(name: str, named: Path) -> Path | None:
    """A setting may name the program itself, the folder that holds it, or the root of unpacked packages."""
    if named.is_file():
        # One setting speaks for two programs: the checker lies beside the program that is named.
        return _executable(named) if name not in _CHECKERS else _first(name, [named.parent])
    return _first(name, [named, named / "usr" / "bin"])


def _first(name: str, folders: list[Path]) -> Path | None:
    found = (_executable(folder / file) for folder in folders for file in _files(name))
    return next(filter(None, found), None)


def _executable(path: Path) -> Path | None:
    return path if path.is_file() and os.access(path, os.X_OK) else None


def main() -> int:
    """Fetch what is missing and say where each program is."""
    try:
        if not (has_prometheus() and has_alertmanager()):
            fetch()
        for name in SETTINGS:
            print(f"{name:<12} {find_tool(name)}")
    except LabError as error:  # run as a program, this module exists twice, and so does its own class
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
