"""Where the embedded tritonserver is, and the files and environment that it needs to run.

The server comes out of the `nvidia-pytriton` wheel. Its folders are not laid out to be started by
hand, so a backend directory is put together once, in the cache: a copy of the python backend (links
are refused by Triton) with the stub of the running Python, and the course's own python-based
backends beside it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab_utils import paths
from lab_utils.server.base import ServerError

TRITON_VERSION = "2.51.0"
"""Version of the server in `nvidia-pytriton` 0.7.0, as `/v2` reports it."""
NGC_RELEASE = "24.10"
"""The NGC container release that holds the same server version."""
BACKENDS = Path(__file__).resolve().parent.parent / "backends"
_COURSE_BACKENDS = ("onnxruntime", "pytorch")


@dataclass(frozen=True)
class Installation:
    """The parts of the wheel. `libraries` holds the shared libraries that server and stub need."""

    binary: Path
    python_backend: Path
    stub: Path
    caches: Path
    libraries: Path

    def environment(self) -> dict[str, str]:
        """Variables that server and stub need, to be laid over the environment of this process.

        `PATH` begins with this interpreter's folder: the stub finds site-packages through the first
        `python3` there. `LD_LIBRARY_PATH` holds the wheel's libraries (without them the server hangs)
        and the folder of this interpreter's libpython (without it another one may be embedded).
        """
        folders = [str(self.libraries)]
        libdir = sysconfig.get_config_var("LIBDIR")
        if libdir and Path(libdir).is_dir():
            folders.append(str(libdir))
        if os.environ.get("LD_LIBRARY_PATH"):
            folders.append(os.environ["LD_LIBRARY_PATH"])
        # Not resolved: in a virtual environment `python3` beside this link is the one that counts.
        own_bin = str(Path(sys.executable).parent)
        return {
            "LD_LIBRARY_PATH": ":".join(folders),
            "PATH": f"{own_bin}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        }


@functools.cache
def installation() -> Installation:
    """Find the server in the installed wheel.

    Raises:
        ServerError: The wheel is missing, or holds no stub for this Python version.
    """
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise ServerError(
            "The embedded Triton server is not installed.",
            why="The package `nvidia-pytriton`, which brings it, is not in this Python environment.",
            fix="Run `make lab`, or `pip install -e . -c constraints.txt` in the project's folder.",
        )
    package = Path(next(iter(spec.submodule_search_locations)))
    root = package / "tritonserver"
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = Installation(
        binary=root / "bin" / "tritonserver",
        python_backend=root / "backends" / "python",
        stub=root / "python_backend_stubs" / minor / "triton_python_backend_stub",
        caches=root / "caches",
        libraries=package.parent / "nvidia_pytriton.libs",
    )
    for part in (found.binary, found.python_backend, found.stub, found.libraries):
        if not part.exists():
            raise ServerError(
                f"The embedded Triton server is incomplete: {part.name} is missing.",
                why=f"The `nvidia-pytriton` wheel has no {part.name} for Python {minor}."
                if part == found.stub
                else "The `nvidia-pytriton` package was not installed from its wheel.",
                fix="Use Python 3.11 or 3.12 and run `pip install --force-reinstall nvidia-pytriton==0.7.0`.",
                details=f"Looked for: {part}",
            )
    return found


def backend_directory() -> Path:
    """The folder for `--backend-directory`, put together on the first call and kept in the cache.

    The name holds a hash of everything that went in, so a new wheel, another Python or a changed
    backend gives a new folder, and a running server keeps the one it was started with.
    """
    place = installation()
    shared = [p for p in sorted(BACKENDS.glob("*.py")) if p.name != "__init__.py"]
    sources = shared + [p for b in _COURSE_BACKENDS for p in sorted((BACKENDS / b).glob("*.py"))]
    digest = hashlib.sha256(importlib.metadata.version("nvidia-pytriton").encode())
    digest.update(sys.version.encode())
    for path in sources:
        digest.update(str(path.relative_to(BACKENDS)).encode() + path.read_bytes())
    target = paths.cache_home() / "backends" / digest.hexdigest()[:16]
    stub = target / "python" / place.stub.name
    if stub.is_file():
        _restore_rights(stub)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=".new-"))
    try:
        shutil.copytree(
            place.python_backend, temporary / "python", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copy2(place.stub, temporary / "python" / place.stub.name)
        (temporary / "python" / place.stub.name).chmod(0o755)
        for backend in _COURSE_BACKENDS:
            (temporary / backend).mkdir()
            for path in [*shared, *sorted((BACKENDS / backend).glob("*.py"))]:
                shutil.copy2(path, temporary / backend / path.name)
        temporary.chmod(0o755)
        try:
            temporary.rename(target)
        except OSError:
            if not target.is_dir():  # else: another process was quicker, with the same content
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _restore_rights(stub: Path) -> None:
    """Everybody may read and run the stub again.

    Before each model Triton runs the stub once without arguments. When that run does not end with exit
    status 1, for example because it was killed for memory, Triton takes every right away but the owner's
    to run it (python_backend, `stub_launcher.cc`). Other users and their containers are then locked out.

    Raises:
        ServerError: This user may not run the stub, and cannot change that.
    """
    if stub.stat().st_mode & 0o555 == 0o555:
        return
    try:
        stub.chmod(0o755)
    except OSError as error:
        if not os.access(stub, os.X_OK):
            raise ServerError(
                "You may not run the process for Python models (triton_python_backend_stub).",
                why="It belongs to another user. Triton takes the rights away when the process was killed "
                f"at its start. They cannot be given back: {error.strerror}.",
                fix=f"Ask its owner for `chmod 755 {stub}`, or set TRITON_LAB_CACHE to a folder of your own.",
            ) from error


def missing_libraries() -> list[str]:
    """Shared libraries that the server or the Python stub needs and the system does not find."""
    place = installation()
    missing: list[str] = []
    for program in (place.binary, place.stub):
        answer = subprocess.run(
            ["ldd", str(program)],
            env={**os.environ, **place.environment()},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        missing += re.findall(r"^\s*(\S+) => not found", answer.stdout, re.M)
        missing += re.findall(r"version `(GLIBC\S+)' not found", answer.stdout + answer.stderr)
    return sorted(set(missing))
