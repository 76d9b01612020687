"""The table of fields that are newer than the server, against the schema inside the tritonserver binary."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import pytriton
import tritonclient.grpc.model_config_pb2 as installed
from google.protobuf import descriptor_pb2

from lab_utils.repository.names import NEWER

_START = b"\x0a\x12model_config.proto\x12\x09inference"


def _schema_in_binary() -> descriptor_pb2.FileDescriptorProto:
    """The generated code keeps its .proto as a serialized descriptor: read it until its fields end."""
    binary = Path(pytriton.__file__).parent / "tritonserver" / "bin" / "tritonserver"
    with binary.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = end = data.find(_START)
        assert start > 0, "the binary holds no schema of model_config.proto"
        while data[end] & 7 == 2 and data[end] >> 3 in (1, 2, 3, 4, 5, 8, 12):
            size, shift, at = 0, 0, end + 1
            while True:
                size |= (data[at] & 127) << shift
                shift, at = shift + 7, at + 1
                if data[at - 1] < 128:
                    break
            end = at + size
        return descriptor_pb2.FileDescriptorProto.FromString(data[start:end])


def _names(file: Any) -> set[str]:
    """Full names of all fields and enum values."""
    found: set[str] = set()

    def walk(message: Any, prefix: str) -> None:
        name = f"{prefix}.{message.name}"
        found.update(f"{name}.{f.name}" for f in message.field)
        for enum in message.enum_type:
            found.update(f"{name}.{enum.name}.{v.name}" for v in enum.value)
        for inner in message.nested_type:
            walk(inner, name)

    for message in file.message_type:
        walk(message, file.package)
    for enum in file.enum_type:
        found.update(f"{file.package}.{enum.name}.{v.name}" for v in enum.value)
    return found


def test_table_is_the_difference_of_the_two_schemas() -> None:
    ours = descriptor_pb2.FileDescriptorProto()
    installed.DESCRIPTOR.CopyToProto(ours)
    server = _names(_schema_in_binary())
    assert len(server) > 200
    new = _names(ours) - server
    # What lies inside a message that the server does not know at all can only be written below a field
    # of the table.
    roots = {n for n in new if ".".join(n.split(".")[:2]) != "inference.ModelMetrics"}
    assert roots == set(NEWER)
    assert not server - _names(ours)
