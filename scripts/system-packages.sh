#!/bin/sh
# System packages that tests use when they are there: a browser, a container engine, Prometheus, bubblewrap.
# Installs them when it may (root, apt); otherwise says what will be skipped. Never fails.
#
#   VENV=.venv   the environment of the course
set -u

# Prometheus and Alertmanager are not installed but unpacked into the course's cache: that needs no root, and
# Debian's packages would start them as services on ports 9090 and 9093.
python=${VENV:-.venv}/bin/python
if [ -x "$python" ]; then
    log=$(mktemp)
    if ! "$python" -m lab_utils.cli fetch-prometheus >"$log" 2>&1; then
        # A fresh machine has no lists of packages yet.
        if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
            apt-get update -q >/dev/null 2>&1
        fi
        if ! "$python" -m lab_utils.cli fetch-prometheus >"$log" 2>&1; then
            echo "The tests of Prometheus, Alertmanager and alerts will be SKIPPED on this machine:"
            sed 's/^/  /' "$log"
        fi
    fi
    rm -f "$log"
fi

missing=
need() { # command, package, what is skipped without it
    command -v "$1" >/dev/null 2>&1 && return 0
    [ -x "/usr/sbin/$1" ] && return 0
    missing="$missing $2"
    skipped="${skipped:-}  no $1 (package $2): $3
"
}

need chromium chromium "the test of JupyterLab in a real browser"
need dockerd docker.io "the tests of the docker runtime against a real engine"
need iptables iptables "the tests of the docker runtime against a real engine"
need docker-compose docker-compose "the tests of the stack of containers"
need ip iproute2 "the tests of the docker runtime against a real engine"
need unshare util-linux "the tests of the docker runtime against a real engine"
need curl curl "the curl lines of the labs"
need bwrap bubblewrap "the tests of grading: submitted notebooks run in its sandbox"

[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing for the tests:$missing"
    log=$(mktemp)
    if { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $missing; } >"$log" 2>&1; then
        rm -f "$log"
        exit 0
    fi
    echo "apt-get did not succeed:"
    tail -n 5 "$log"
    rm -f "$log"
fi
printf 'These tests will be SKIPPED on this machine:\n%s' "$skipped"
echo "To run them: apt install$missing (as root)"
exit 0
