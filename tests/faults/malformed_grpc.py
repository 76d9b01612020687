"""A seeded generator of malformed gRPC requests: raw bytes where an ordinary client sends protobufs."""

from __future__ import annotations

import random
from dataclasses import dataclass

import grpc
from tritonclient.grpc import service_pb2 as pb

from tests.faults.malformed_http import Answer, word

DEADLINE_SECONDS = 15.0
SERVICE = "/inference.GRPCInferenceService"


@dataclass(frozen=True)
class Call:
    """One call: what is wrong with it, the full method name, the bytes of its message."""

    fault: str
    method: str
    data: bytes


def send(channel: grpc.Channel, call: Call) -> Answer:
    """Make the call. Status is the gRPC code (0 for OK), text its details.

    Raises:
        TimeoutError: No answer in time.
    """
    try:
        if call.method.endswith("StreamInfer"):
            stream = channel.stream_stream(call.method)(iter([call.data]), timeout=DEADLINE_SECONDS)
            for message in stream:
                error = pb.ModelStreamInferResponse.FromString(message).error_message
                if error:
                    return Answer(2, error)
        else:
            channel.unary_unary(call.method)(call.data, timeout=DEADLINE_SECONDS)
        return Answer(0, "")
    except grpc.RpcError as error:
        code = error.code()
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise TimeoutError(f"{call.fault}: no answer to {call.method}") from error
        # An unknown method is answered by the code UNIMPLEMENTED alone.
        return Answer(int(code.value[0]), error.details() or code.name)


def good() -> pb.ModelInferRequest:
    """A request that the model `double` answers."""
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 4])
    return pb.ModelInferRequest(model_name="double", inputs=[tensor], raw_input_contents=[b"\0" * 16])


def infer(rng: random.Random) -> str:
    """One of the two inference methods."""
    return f"{SERVICE}/{rng.choice(['ModelInfer', 'ModelStreamInfer'])}"


def noise(rng: random.Random) -> Call:
    data = bytes(rng.randrange(256) for _ in range(rng.randint(1, 300)))
    return Call("noise", infer(rng), data)


def cut_short(rng: random.Random) -> Call:
    data = good().SerializeToString()
    return Call("cut short", infer(rng), data[: rng.randrange(1, len(data))])


def flipped(rng: random.Random) -> Call:
    """A good message with wrong bytes in its first half (the second is tensor data, where all is good)."""
    data = bytearray(good().SerializeToString())
    for position in rng.sample(range(14), k=rng.randint(2, 5)):
        data[position] ^= rng.randrange(1, 256)
    return Call("flipped bytes", infer(rng), bytes(data))


def wrong_method(rng: random.Random) -> Call:
    service = rng.choice([SERVICE, f"/{word(rng)}", "/grpc.reflection.v1.ServerReflection"])
    return Call("wrong method", f"{service}/{word(rng)}", good().SerializeToString())


def wrong_field(rng: random.Random) -> Call:
    request = good()
    tensor = request.inputs[0]
    field = rng.choice(["model", "version", "name", "datatype", "shape", "rank", "output"])
    if field == "model":
        request.model_name = word(rng)
    elif field == "version":
        request.model_version = rng.choice(["2", "-1", "one", "9" * 30])
    elif field == "name":
        tensor.name = rng.choice([word(rng), ""])
    elif field == "datatype":
        tensor.datatype = rng.choice(["FP64", "BYTES", "fp32", "", "BF16", word(rng)])
    elif field == "shape":
        # Not here: batch sizes whose lower 32 bits are 0 to 8 (0, 2**32, 2**40, -2**63). Over gRPC this
        # release cuts the batch dimension to 32 bits and answers them as if nothing were wrong.
        tensor.shape[:] = rng.choice(
            [[1, 5], [-1, 4], [9, 4], [2**31, 4], [1, -4], [2**62, 2**62], [1, 2**63 - 1]]
        )
    elif field == "rank":
        tensor.shape[:] = rng.choice([[], [4], [1, 2, 2], [1] * 200])
    else:
        request.outputs.add(name=word(rng))
    return Call(f"wrong {field}", infer(rng), request.SerializeToString())


def lying_contents(rng: random.Random) -> Call:
    """Raw contents of another length or number than the tensors say."""
    request = good()
    # Not here: one entry too many, which this release ignores.
    kind = rng.randrange(4)
    if kind == 0:
        request.raw_input_contents[0] = b"\0" * rng.choice([0, 1, 15, 17, 4096])
    elif kind == 1:
        del request.raw_input_contents[:]
    elif kind == 2:
        request.inputs[0].contents.fp32_contents.extend([1.0] * 4)  # both forms at once
    else:
        del request.raw_input_contents[:]
        request.inputs[0].contents.int64_contents.extend([1] * rng.randint(1, 9))
    return Call("lying contents", infer(rng), request.SerializeToString())


def wrong_parameter(rng: random.Random) -> Call:
    request = good()
    parameters = request.inputs[0].parameters
    parameters["shared_memory_region"].string_param = word(rng)
    if rng.random() < 0.7:
        parameters["shared_memory_byte_size"].int64_param = rng.choice([-1, 0, 16, 2**62])
    if rng.random() < 0.5:
        parameters["shared_memory_offset"].int64_param = rng.choice([-1, 2**62])
    return Call("wrong parameter", infer(rng), request.SerializeToString())


def wrong_management(rng: random.Random) -> Call:
    method, message = rng.choice(
        [
            ("ModelMetadata", pb.ModelMetadataRequest(name=word(rng))),
            ("ModelConfig", pb.ModelConfigRequest(name="double", version="77")),
            ("ModelStatistics", pb.ModelStatisticsRequest(name=word(rng))),
            ("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name=word(rng))),
            ("SystemSharedMemoryStatus", pb.SystemSharedMemoryStatusRequest(name=word(rng))),
            (
                "SystemSharedMemoryRegister",
                pb.SystemSharedMemoryRegisterRequest(name=word(rng), key=f"/{word(rng)}", byte_size=64),
            ),
            (
                "SystemSharedMemoryRegister",
                pb.SystemSharedMemoryRegisterRequest(name=word(rng), byte_size=2**63),
            ),
            (
                "CudaSharedMemoryRegister",
                pb.CudaSharedMemoryRegisterRequest(name=word(rng), raw_handle=b"x", byte_size=64),
            ),
        ]
    )
    return Call("wrong management", f"{SERVICE}/{method}", message.SerializeToString())


GENERATORS = (
    noise,
    cut_short,
    flipped,
    wrong_method,
    wrong_field,
    wrong_field,
    lying_contents,
    wrong_parameter,
    wrong_management,
)


def calls(rng: random.Random, count: int) -> list[Call]:
    """`count` malformed calls, every kind equally often, in random order."""
    found = [GENERATORS[i % len(GENERATORS)](rng) for i in range(count)]
    rng.shuffle(found)
    return found
