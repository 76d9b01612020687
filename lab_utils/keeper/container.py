"""Beside a container that must not outlive the process that started it: wait, then remove it.

The engine, not the starting process, is the parent of a container, so a killed kernel leaves it
running. This small process waits for the end of its owner (a pidfd: no polling) and then removes
every container with the given launch label. It is started before the container is made, so there is
no moment without it.

Called by `lab_utils.server.docker` with the owner's pid and start time, the label's name and value;
`DOCKER_HOST` in its environment names the engine.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

from lab_utils.keeper.identity import ProcessId, remove_regions

# An engine that was just making the container when the owner died shows it a moment later.
_PAUSES_SECONDS = (0.0, 0.3, 1.0, 2.0, 4.0)


def wait_for_end(owner: ProcessId) -> None:
    """Return when this very process has ended, a zombie included."""
    poller = select.poll()
    with contextlib.suppress(OSError):  # gone already
        poller.register(os.pidfd_open(owner.pid), select.POLLIN)
    while owner.alive():
        poller.poll(5000)


def remove(label: str) -> int:
    """Remove the container with a label, running or not; returns how many there were."""
    import docker  # imported only now: this process mostly waits, and stays small

    count = 0
    for pause in _PAUSES_SECONDS:
        time.sleep(pause)
        with contextlib.suppress(Exception):  # an engine that is just restarting: try again
            client = docker.from_env(timeout=30)
            try:
                for entry in client.api.containers(all=True, filters={"label": label}):
                    with contextlib.suppress(docker.errors.APIError):
                        client.api.remove_container(entry["Id"], force=True, v=True)
                        count += 1
            finally:
                client.close()
        if count:  # the owner, who is dead, made one at a time
            break
    return count


def main() -> int:
    """Wait for the owner's end, then remove its container. SIGTERM: the container was stopped in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    pid, started, label = sys.argv[1:4]
    wait_for_end(ProcessId(int(pid), int(started)))
    remove(label)
    with contextlib.suppress(Exception):  # the stack's Prometheus, if one runs, reads it no more
        from lab_utils.stack import targets

        targets.leave(label.partition("=")[2])
    with contextlib.suppress(OSError):  # regions that the container's root made, and we may not remove
        remove_regions(f"tl{label.partition('=')[2]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
