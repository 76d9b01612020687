"""Prepare what every run of a batch shares: the student package, trained models, assembled backends."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab_utils.errors import LabError
from lab_utils.files import write_text
from lab_utils.grading.mounts import PLACES, Folders
from lab_utils.grading.places import Places
from lab_utils.grading.sandbox import Sandbox, environment
from lab_utils.handout.files import package_files
from lab_utils.paths import cache_home, project_root

_WARM = """
import sys
sys.path.insert(0, sys.argv[1])
from lab_utils.grading.warm import warm
warm(sys.argv[2:])
"""
_WARM_SECONDS = 900
_HOSTS = "127.0.0.1 localhost grading\n"
_NAMES = "passwd: files\ngroup: files\nhosts: files\n"


@dataclass(frozen=True)
class Stage:
    """The shared folder.

    Attributes:
        folder: Holds `course`, `cache` and `etc`.
    """

    folder: Path

    @property
    def course(self) -> Path:
        """The student package, with its models built. No solution notebooks, no tests, no history."""
        return self.folder / "course"

    @property
    def cache(self) -> Path:
        """A cache with all that the labs would build."""
        return self.folder / "cache"

    @property
    def etc(self) -> Path:
        """Files for /etc."""
        return self.folder / "etc"

    def folders(self, secrets: Sequence[Path] = ()) -> Folders:
        """What a confined run sees of it."""
        return Folders(self.course, self.cache, self.etc, tuple(secrets))


def prepare_stage(
    folder: Path, labs: Sequence[str], sandbox: Sandbox | None, *, root: Path | None = None
) -> Stage:
    """Fill a folder with what the runs of these labs need. What is there already and right is kept.

    Args:
        folder: An empty folder, or one that an earlier call filled.
        labs: Two digits each.
        sandbox: How the runs are confined; None: not at all.
        root: The course; default: the one that runs.

    Raises:
        LabError: The course is not whole, or a model cannot be built.
    """
    root = root or project_root()
    stage = Stage(folder.resolve())
    files = package_files(root)
    mark = _mark(root, files, labs, sandbox is not None)
    done = stage.folder / "stage.json"
    if done.is_file() and done.read_text(encoding="utf-8") == mark:
        return stage
    shutil.rmtree(stage.folder, ignore_errors=True)
    for file in files:
        _copy(root / file, stage.course / file)
    _names(stage.etc)
    _open_to_all(stage.course)
    _open_to_all(stage.etc)
    _take_models(cache_home(), stage.cache)
    _warm(stage, labs, sandbox)
    _open_to_all(stage.course)
    _open_to_all(stage.cache)
    write_text(done, mark)
    return stage


def _mark(root: Path, files: Sequence[Path], labs: Sequence[str], confined: bool) -> str:
    """Tells one stage from another: the course's files, the Python, the labs."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.as_posix().encode() + b"\0" + hashlib.sha256((root / file).read_bytes()).digest())
    facts = {"files": digest.hexdigest(), "labs": sorted(labs), "confined": confined}
    return json.dumps({**facts, "python": sys.executable, "version": sys.version}, sort_keys=True) + "\n"


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _names(etc: Path) -> None:
    """The users and machines that a run knows by name: no more than needed."""
    etc.mkdir(parents=True, exist_ok=True)
    home = PLACES.home
    lines = [f"root:x:0:0:root:{home}:/bin/sh", f"student:x:1000:1000:student:{home}:/bin/sh"]
    (etc / "passwd").write_text("\n".join(lines) + "\n")
    (etc / "group").write_text("root:x:0:\nstudent:x:1000:\n")
    (etc / "hosts").write_text(_HOSTS)
    (etc / "nsswitch.conf").write_text(_NAMES)


def _take_models(own: Path, cache: Path) -> None:
    """Copy the models that this user has trained before; the times count in their recipes."""
    (cache / "backends").mkdir(parents=True, exist_ok=True)
    (cache / "models").mkdir(exist_ok=True)
    for entry in sorted((own / "models").iterdir()) if (own / "models").is_dir() else []:
        if entry.is_dir() and not entry.is_symlink() and not entry.name.startswith("."):
            shutil.copytree(entry, cache / "models" / entry.name)


def _warm(stage: Stage, labs: Sequence[str], sandbox: Sandbox | None) -> None:
    """Build what is missing, where the runs will find it: some recipes hold the path of the cache."""
    script = [sys.executable, "-I", "-c", _WARM]
    with tempfile.TemporaryDirectory(dir=stage.folder, prefix="warm-") as name:
        if sandbox is None:
            places = Places.below(stage.course, stage.cache, Path(name))
            for path in (places.work, places.temporary):
                path.mkdir(parents=True)
            line, env = [*script, str(stage.course), *labs], {**os.environ, **environment(places)}
        else:
            folders = Folders(stage.course, stage.cache, stage.etc, open=True)
            line = sandbox.command(folders, 1 << 30, [*script, str(PLACES.course), *labs])
            env = dict(os.environ)
        try:
            answer = subprocess.run(
                line,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_WARM_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _not_warm(f"{type(error).__name__}: {error}") from error
    if answer.returncode != 0:
        raise _not_warm(answer.stderr.strip()[-3000:])


def _not_warm(details: str) -> LabError:
    return LabError(
        "The models of the labs could not be built for grading.",
        fix="See that `triton-lab doctor` and `triton-lab models build` succeed, then start again.",
        details=details,
    )


def _open_to_all(folder: Path) -> None:
    """Everybody may read it: a run may be another user."""
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or _runs(path) else 0o644)


def _runs(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o100)
