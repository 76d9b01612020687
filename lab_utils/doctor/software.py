"""Checks of the Python environment: Python, NumPy, the pinned packages, PyTorch, the server in its wheel."""

from __future__ import annotations

from packaging.version import Version

from lab_utils.doctor.facts import Facts
from lab_utils.doctor.finding import Check, Finding, failed, passed, warned

INSTALL = "Run `make lab`, or in an environment of your own: pip install -e . -c constraints.txt"


def check_python(facts: Facts) -> Finding:
    """3.11 and 3.12 are what the packages are pinned for."""
    version = ".".join(map(str, facts.python))
    if facts.python[:2] not in ((3, 11), (3, 12)):
        return failed(
            "python",
            f"Python {version}; these labs are pinned for 3.11 and 3.12",
            "Run `make clean`, then `make lab PYTHON=python3.12`.",
        )
    return passed("python", f"Python {version} ({facts.executable})")


def check_numpy(facts: Facts) -> Finding:
    """The one wrong version that gives no error anywhere."""
    version = facts.installed.get("numpy")
    if version is None:
        return failed("numpy", "NumPy is not installed", INSTALL)
    if Version(version) >= Version("2"):
        return failed(
            "numpy",
            f"NumPy {version}: with NumPy 2 this Triton starts and answers, but its Python-based models "
            "silently return empty tensors (size 0), with no error in the answer or in the log",
            'Run pip install "numpy<2" -c constraints.txt, then restart servers and kernels.',
        )
    return passed("numpy", f"NumPy {version}")


def check_packages(facts: Facts) -> Finding:
    """Direct dependencies at their pinned versions."""
    if not facts.wanted:
        return failed("packages", "the package triton-labs is not installed in this environment", INSTALL)
    missing = [name for name in facts.wanted if facts.installed.get(name) is None]
    if missing:
        return failed("packages", f"not installed: {', '.join(missing)}", INSTALL)
    unlike = []
    for name, pin in facts.wanted.items():
        found = facts.installed[name] or ""
        # The local part (2.13.0+cpu) names a build, not another version.
        if pin and Version(found.split("+")[0]) != Version(pin):
            unlike.append(f"{name} {found} (tested with {pin})")
    if unlike:
        return warned("packages", "; ".join(unlike), INSTALL)
    if not any(facts.wanted.values()):
        return warned(
            "packages",
            "all installed, but constraints.txt was not found, so their versions cannot be compared",
            "Install from a clone of the project: pip install -e . -c constraints.txt",
        )
    return passed("packages", f"{len(facts.wanted)} packages at their tested versions")


def check_torch(facts: Facts) -> Finding:
    """PyTorch and what comes with it are an extra: Labs 1 and 2 go on without it, Lab 3 does not."""
    fix = "Run `make lab`, or: pip install -e '.[torch]' -c constraints.txt"
    if facts.torch is None:
        return warned(
            "pytorch",
            "PyTorch is not installed: Lab 3 needs it. In Labs 1 and 2 the one exercise with PyTorch answers "
            "SKIP, everything else works",
            fix,
        )
    missing = [name for name, version in facts.torch_extra.items() if version is None]
    if missing:
        return warned(
            "pytorch", f"PyTorch {facts.torch}; the Llamas of Lab 3 also need {', '.join(missing)}", fix
        )
    return passed("pytorch", f"PyTorch {facts.torch}")


def check_wheel(facts: Facts) -> Finding:
    """The server binary, the stub for this Python, and the libraries of both."""
    if facts.server is None:
        return failed("tritonserver", facts.server_error or "the embedded server was not found", INSTALL)
    if facts.missing_libraries:
        names = ", ".join(facts.missing_libraries)
        python = f"{facts.python[0]}.{facts.python[1]}"
        if "libpython" in names:
            fix = (
                f"Debian, Ubuntu: apt install libpython{python}. pyenv: "
                f"PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install --force {python}"
            )
        elif "GLIBCXX" in names:
            fix = (
                "The system's libstdc++ is too old, or an older one of conda comes first: "
                "unset LD_LIBRARY_PATH, or conda install libstdcxx-ng"
            )
        else:
            fix = "Run pip install --force-reinstall nvidia-pytriton==0.7.0"
        return failed("tritonserver", f"the server needs shared libraries that are not found: {names}", fix)
    return passed("tritonserver", "2.51.0 (NGC 24.10), complete for this Python")


def check_monitoring(facts: Facts) -> Finding:
    """Prometheus and Alertmanager are Lab 4's only; without them some of its steps are skipped."""
    missing = [name for name, path in facts.monitoring.items() if path is None]
    if missing:
        return warned(
            "prometheus",
            f"not found: {', '.join(missing)}. In Lab 4 the steps that need it answer SKIP; all else works",
            facts.monitoring_fix,
        )
    return passed("prometheus", f"{', '.join(facts.monitoring)} are there")


SOFTWARE_CHECKS: dict[str, Check] = {
    "python": check_python,
    "numpy": check_numpy,
    "packages": check_packages,
    "pytorch": check_torch,
    "tritonserver": check_wheel,
    "prometheus": check_monitoring,
}
