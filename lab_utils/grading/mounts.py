"""What can be seen inside a sandbox. Everything that is not named here is not there."""

from __future__ import annotations

import functools
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from lab_utils.errors import LabError
from lab_utils.grading.places import Places
from lab_utils.monitoring import tools

PLACES = Places(Path("/course"), Path("/cache"), Path("/student"), Path("/tmp"))
"""Where a confined run finds its folders."""
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
# Of /etc only what programs need to run: it also holds passwords and keys.
_ETC = (
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "alternatives",
    "fonts",
    "localtime",
    "mime.types",
    "ssl/certs",
    "os-release",
)
_CACHE_ROOM = 256 << 20
_SYS = ("/sys/devices/system/cpu", "/sys/devices/system/node")


@dataclass(frozen=True)
class Folders:
    """What one run may see besides the system and Python, and what it must never see.

    Attributes:
        course: The staged student package; None only to try the sandbox out.
        cache: The staged cache.
        etc: Files for /etc: the names of the users and of this machine.
        secrets: Submissions, solutions, hidden checks, results. They are not mounted anyway; where
            one lies inside of something that is, an empty folder covers it.
        open: Course and cache may be written: while they are prepared, before any notebook runs.
    """

    course: Path | None = None
    cache: Path | None = None
    etc: Path | None = None
    secrets: tuple[Path, ...] = ()
    open: bool = False


def mounts(folders: Folders, size: int) -> list[str]:
    """The arguments of `bwrap` for all mounts.

    Args:
        folders: The run's own folders.
        size: Bytes of each writable folder. All of them lie in memory and go with the sandbox.
    """
    plan = _Mounts(size)
    for name in _SYSTEM:
        plan.same(Path(name))
    plan.folder(Path("/etc"))
    for name in _ETC:
        if Path("/etc", name).exists():
            plan.read_only(Path("/etc", name), Path("/etc", name))
    if folders.etc is not None:
        for file in sorted(folders.etc.iterdir()):
            plan.read_only(file, Path("/etc", file.name))
    plan.line += ["--proc", "/proc", "--dev", "/dev"]
    for name in _SYS:
        plan.same(Path(name))
    for place in (Path("/dev/shm"), PLACES.temporary, PLACES.home):
        plan.writable(place)
    for path in (*python_folders(), *dict.fromkeys(tool_folders().values())):
        plan.same(path)
    for source, target in ((folders.course, PLACES.course), (folders.cache, PLACES.cache)):
        if source is not None and folders.open:
            plan.line += ["--bind", str(source), str(target)]
        elif source is not None and target == PLACES.cache:
            plan.cache(source)
        elif source is not None:
            plan.read_only(source, target)
    for secret in folders.secrets:
        plan.cover(secret)
    installed = installed_course()
    if folders.course is not None and installed is not None:
        plan.read_only(folders.course / "lab_utils", installed)
    return [*plan.line, *plan.closing]


def python_folders() -> list[Path]:
    """The folders that this interpreter and its packages need, by every name that is in use."""
    named = [sys.prefix, sys.base_prefix, sys.exec_prefix, sysconfig.get_config_var("LIBDIR") or ""]
    found: set[Path] = set()
    for name in filter(None, named):
        found |= {path for path in (Path(name).absolute(), Path(name).resolve()) if path.is_dir()}
    # An outer folder first: it must not cover an inner one that is mounted already.
    return sorted(found - {Path("/")}, key=lambda path: (len(path.parts), path))


@functools.cache
def installed_course() -> Path | None:
    """Where this Python finds `lab_utils` without any setting: that of `pip install`, mostly the project's.

    Triton's Python models look nowhere else, for their interpreter ignores PYTHONPATH.
    """
    code = "import importlib.util as u; s = u.find_spec('lab_utils'); print(s.origin if s else '')"
    line = [sys.executable, "-I", "-c", code]
    answer = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    found = Path(answer.stdout.strip() or "/nowhere/nothing").parent
    return found if answer.returncode == 0 and found.is_dir() else None


def tool_folders() -> dict[str, Path]:
    """Where Prometheus and its companions lie, by the setting that names them.

    Of Debian's packages, unpacked somewhere, it is their root: the programs look for their own files there.
    """
    found: dict[str, Path] = {}
    for name, setting in tools.SETTINGS.items():
        try:
            folder = tools.find_tool(name).resolve().parent
        except LabError:
            continue
        packages = folder.parts[-2:] == ("usr", "bin") and folder != Path("/usr/bin")
        found.setdefault(setting, folder.parent.parent if packages else folder)
    return found


class _Mounts:
    """The arguments while they grow."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.line: list[str] = []
        self.closing: list[str] = ["--remount-ro", "/"]
        self.seen: list[Path] = []  # mounted folders of this machine
        self.made: set[Path] = set()

    def same(self, path: Path) -> None:
        """Something of this machine, read-only, under its own name."""
        if path.is_symlink() and path.parent == Path("/"):
            self.line += ["--symlink", str(path.readlink()), str(path)]
        elif path.exists() and not self._covered(path):
            self.read_only(path, path)
            self.seen.append(path)

    def read_only(self, source: Path, target: Path) -> None:
        self._parents(target)
        self.line += ["--ro-bind", str(source), str(target)]

    def writable(self, place: Path, size: int | None = None) -> None:
        self._parents(place)
        self.line += ["--perms", "1777", "--size", str(size or self.size), "--tmpfs", str(place)]
        self.made.add(place)

    def folder(self, path: Path) -> None:
        """An empty folder, open to every user: the one that it is named after may be closed."""
        if path in self.made or self._covered(path):
            return
        self.made.add(path)
        if PLACES.temporary in path.parents:
            # A folder in a writable one could be renamed, and another put in its place; a mount cannot.
            self.line += ["--perms", "0755", "--size", "4096", "--tmpfs", str(path)]
            self.closing += ["--remount-ro", str(path)]
        else:
            self.line += ["--perms", "0755", "--dir", str(path)]

    def cache(self, staged: Path) -> None:
        """What was prepared cannot be changed; lock files and new things find room beside it."""
        for top in sorted(path for path in staged.iterdir() if path.is_dir()):
            self.writable(PLACES.cache / top.name, min(self.size, _CACHE_ROOM))
            for entry in sorted(top.iterdir()):
                if not entry.name.startswith("."):
                    self.read_only(entry, PLACES.cache / top.name / entry.name)

    def cover(self, secret: Path) -> None:
        secret = secret.resolve()
        if not secret.exists() or not self._covered(secret):
            return
        if secret.is_dir():
            self.line += ["--perms", "0755", "--tmpfs", str(secret)]
            self.closing += ["--remount-ro", str(secret)]
        else:
            self.line += ["--ro-bind", "/dev/null", str(secret)]

    def _covered(self, path: Path) -> bool:
        return any(other == path or other in path.parents for other in self.seen)

    def _parents(self, path: Path) -> None:
        for parent in reversed(path.parents[:-1]):
            self.folder(parent)
