"""Start, find, watch and stop a Triton Inference Server: embedded, in a container, or remote."""

from lab_utils.server.base import Endpoints, Lifetime, Server, ServerError
from lab_utils.server.manage import all_records, find, leftovers, record, running, start, stop_all, sweep
from lab_utils.server.stubs import stub_faults

__all__ = [
    "Endpoints",
    "Lifetime",
    "Server",
    "ServerError",
    "all_records",
    "find",
    "leftovers",
    "record",
    "running",
    "start",
    "stop_all",
    "stub_faults",
    "sweep",
]
