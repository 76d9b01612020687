#!/bin/sh
# Says clearly what a machine lacks for these labs, before anything is installed.
# Prints the path of a fitting Python on stdout; everything for people goes to stderr. Exit code 1: it cannot work.
# Only what every system has is used here: no bash, no installed Python is taken for granted.
#
# Facts can be given by the environment (that is how the tests make each message appear):
#   PREFLIGHT_SYSTEM PREFLIGHT_MACHINE PREFLIGHT_GLIBC PREFLIGHT_DISK_MB PREFLIGHT_PYENV
set -u

system=${PREFLIGHT_SYSTEM:-$(uname -s)}
machine=${PREFLIGHT_MACHINE:-$(uname -m)}
faults=0

fault() { # what, why, next step
    faults=$((faults + 1))
    printf 'MISSING  %s\n  Why:  %s\n  Next: %s\n' "$1" "$2" "$3" >&2
}

note() { printf 'NOTE     %s\n  %s\n' "$1" "$2" >&2; }

case $system in
Linux) ;;
Darwin)
    fault "These labs do not run on macOS itself." \
        "The Triton server that they use exists as a Linux build only." \
        "Work in a Linux virtual machine or container (for example Lima, UTM or Docker Desktop with Ubuntu), then run make lab there."
    ;;
MINGW* | MSYS* | CYGWIN* | Windows*)
    fault "These labs do not run on Windows itself." \
        "The Triton server that they use exists as a Linux build only." \
        "Install WSL (in PowerShell: wsl --install -d Ubuntu-24.04), open Ubuntu, put the course there and run make lab."
    ;;
*)
    fault "This system ($system) is not supported." \
        "The Triton server that these labs use exists as a Linux build only." \
        "Use Debian 12, Ubuntu 22.04 or newer, or WSL."
    ;;
esac
[ "$faults" -eq 0 ] || exit 1 # the other facts mean nothing there

case $machine in
x86_64 | amd64) ;;
aarch64 | arm64) note "Architecture $machine: the server is built for it, but these labs are tested on x86-64 only." \
    "If something fails, run triton-lab doctor." ;;
*)
    fault "This machine's architecture ($machine) is not supported." \
        "The Triton server is built for x86-64 and aarch64 only." \
        "Use another machine, or TRITON_LAB_RUNTIME=remote with a Triton that somebody else runs."
    ;;
esac

glibc=${PREFLIGHT_GLIBC:-$(getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc //p')}
if [ -z "$glibc" ]; then
    fault "This Linux has no glibc (perhaps Alpine with musl)." \
        "The Triton server is linked against glibc 2.35 or newer." \
        "Use Debian 12 or Ubuntu 22.04 or newer."
else
    major=${glibc%%.*}
    minor=${glibc#*.}
    minor=${minor%%[!0-9]*}
    if [ "$major" -lt 2 ] || { [ "$major" -eq 2 ] && [ "$minor" -lt 35 ]; }; then
        fault "glibc is too old: $glibc, and 2.35 is needed." \
            "The Triton server is linked against glibc 2.35." \
            "Use Debian 12, Ubuntu 22.04 or newer (a container of one of these will do)."
    fi
fi

# What a Python must have. Prints "ok", or one word for what it lacks. Runs under any old Python.
probe='
import sys
v = sys.version_info[:2]
if v not in ((3, 11), (3, 12)):
    print("version %d.%d" % v); sys.exit()
try:
    import ensurepip, venv
except ImportError:
    print("venv %d.%d" % v); sys.exit()
import ctypes, os, sysconfig
name = "libpython%d.%d.so.1.0" % v
try:
    found = os.path.exists(os.path.join(sysconfig.get_config_var("LIBDIR") or "/", name)) or ctypes.CDLL(name)
except OSError:
    print("libpython %d.%d" % v); sys.exit()
print("ok")
'

python=
seen=
missing_venv=
missing_library=
try() { # one interpreter: sets $python when it fits, else remembers why not
    [ -z "$python" ] || return 0
    path=$(command -v "$1" 2>/dev/null) || return 0
    answer=$("$path" -c "$probe" 2>/dev/null) || return 0
    case $answer in
    ok) python=$path ;;
    version*) seen="$seen $1 (${answer#version })" ;;
    venv*) missing_venv=${answer#venv } ;;
    libpython*) missing_library=${answer#libpython } ;;
    esac
}

if [ -n "${PYTHON:-}" ]; then
    try "$PYTHON"
else
    try python3
    try python3.12
    try python3.11
    for folder in "${PREFLIGHT_PYENV:-${PYENV_ROOT:-${HOME:-}/.pyenv}}"/versions/3.1[12]*; do
        [ -x "$folder/bin/python3" ] && try "$folder/bin/python3"
    done
fi

if [ -z "$python" ]; then
    if [ -n "$missing_venv" ]; then
        fault "Python $missing_venv is here, but its venv module is not." \
            "Debian and Ubuntu ship it as a package of its own." \
            "apt install python3-venv (or python$missing_venv-venv), then run make lab again."
    elif [ -n "$missing_library" ]; then
        fault "Python $missing_library is here, but its shared library (libpython$missing_library.so.1.0) is not." \
            "Triton runs Python inside its own process and needs Python as a library." \
            "apt install libpython$missing_library (pyenv: build with PYTHON_CONFIGURE_OPTS=--enable-shared), then run make lab again."
    elif [ -n "${PYTHON:-}" ]; then
        fault "PYTHON=$PYTHON is not Python 3.11 or 3.12.${seen:+ Found:$seen.}" \
            "The packages of these labs are pinned for these two." \
            "Name another one: make lab PYTHON=python3.12"
    else
        fault "No Python 3.11 or 3.12 found.${seen:+ Found:$seen.}" \
            "The packages of these labs are pinned for these two." \
            "Debian 12: apt install python3-venv. Ubuntu 24.04: apt install python3.12-venv. Elsewhere: pyenv install 3.12, or environment.yml with conda."
    fi
fi

disk=${PREFLIGHT_DISK_MB:-$(df -Pm . 2>/dev/null | awk 'NR==2 {print $4}')}
if [ ! -e "${VENV:-.venv}/bin/python" ] && [ -n "$disk" ]; then
    if [ "$disk" -lt 4000 ]; then
        fault "Too little disk space: $disk MB free, and 4000 MB are needed." \
            "The server, PyTorch (CPU build) and JupyterLab take about 2500 MB, and pip needs room to unpack them." \
            "Free some space, or put the course on another disk."
    elif [ "$disk" -lt 12000 ]; then
        note "Only $disk MB of disk space are free." \
            "The default build of PyTorch brings CUDA, several thousand MB more; README.md says how to choose the CPU build."
    fi
fi

[ "$faults" -eq 0 ] || exit 1
printf '%s\n' "$python"
