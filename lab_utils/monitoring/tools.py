"""Find Prometheus, Alertmanager and their two checkers, or say how to get them.

Looked for, in this order: the setting (`TRITON_LAB_PROMETHEUS`, `TRITON_LAB_ALERTMANAGER`), `PATH`, the
course's cache. `triton-lab fetch-prometheus` fills the cache: with Debian's packages, which needs no root,
or out of the container images.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lab_utils.errors import LabError
from lab_utils.paths import cache_home
from lab_utils.server.docker_engine import engine_possible

SETTINGS = {
    "prometheus": "TRITON_LAB_PROMETHEUS",
    "promtool": "TRITON_LAB_PROMETHEUS",
    "alertmanager": "TRITON_LAB_ALERTMANAGER",
    "amtool": "TRITON_LAB_ALERTMANAGER",
}
"""The environment variable that names each program, or the folder that holds it."""
IMAGE_SETTINGS = {name: f"{variable}_IMAGE" for name, variable in SETTINGS.items()}
"""The environment variable that names the container image to take each program from."""
_FILES = {"alertmanager": ("alertmanager", "prometheus-alertmanager")}  # the second is Debian's name
_CHECKERS = ("promtool", "amtool")
_FETCH = "triton-lab fetch-prometheus"


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
    if engine_possible():
        return (
            f"Run `{_FETCH} --from-images`: it takes both out of their container images. "
            "Or download them from https://prometheus.io/download, unpack them, and set "
            f"{SETTINGS['prometheus']} and {SETTINGS['alertmanager']} to the two folders."
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
    """The folder in the cache that `fetch` puts the programs into."""
    return cache_home() / "monitoring"


def fetch(from_images: bool = False) -> Path:
    """Put all four programs into the cache, unless they are there.

    Args:
        from_images: Out of the container images instead of Debian's packages.

    Raises:
        MonitoringError: There is no apt here, it could not get the packages (with its words), or an image
            is missing.
        EngineError: There is no container engine.
    """
    root = packages_root()
    if any(_first(name, [root / "usr" / "bin"]) is None for name in SETTINGS):
        if from_images:
            from lab_utils.monitoring.images import fetch_from_images

            fetch_from_images(root)
        else:
            from lab_utils.monitoring.packages import fetch_into

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
