"""A start that fails on a real engine."""

from __future__ import annotations

import pytest

from lab_utils.server.docker import DockerServer
from lab_utils.server.docker_errors import EngineError, Fault


def fault_of(server: DockerServer, fault: Fault) -> str:
    """The message of the fault with which a start fails; nothing may stay behind."""
    with pytest.raises(EngineError) as caught:
        server.start()
    assert caught.value.fault is fault
    assert caught.value.why
    assert caught.value.fix
    assert not server.alive()
    return str(caught.value)
