"""Users of a Triton server, for locust.

    locust -f lab_utils/load/locustfile.py TritonHttpUser --headless --model mnist_mlp -u 8 -r 8 -t 10
    locust -f lab_utils/load/locustfile.py TritonGrpcUser --headless --steps 1:5,4:5,16:5 --mix 8:2:1

A user asks, thinks, and asks again. Without `--headless` locust opens its page in the browser. Never import
this file into a notebook: locust replaces sockets and threads of the whole process by its own (gevent).
docs/locust.md says what the figures are worth.
"""

from __future__ import annotations

import random
import sys
import time
from typing import Any, ClassVar

import grpc.experimental.gevent as grpc_gevent
import numpy as np
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from locust import LoadTestShape, User, between, constant, constant_pacing, events

from lab_utils.errors import LabError
from lab_utils.load.crew import LoadError
from lab_utils.load.locust_figures import FailedRequest, Recorder
from lab_utils.load.locust_options import add_options, read_mix, read_steps
from lab_utils.load.payload import build_payload
from lab_utils.load.view import ServerView

# gRPC's core has threads and sockets of its own, which gevent does not see: without this call the first
# request would block all users for ever.
grpc_gevent.init_gevent()

_REST = 0.05
"""Seconds that a user waits after a failed request, so that refusals are not most of what is measured."""
_TICK = 0.1
"""Locust looks at the shape once a second, a little early or late."""


class TritonUser(User):
    """One user: asks for a small batch, a larger one, or makes a mistake, by the weights of `--mix`."""

    abstract = True
    protocol: ClassVar[str]
    model: ClassVar[str] = ""
    timeout: ClassVar[float] = 60.0
    requests: ClassVar[dict[str, tuple[list[Any], int]]] = {}
    """Input tensors and rows of each kind of request; made once, not by every user."""

    def on_start(self) -> None:
        """Connect."""
        self.client = self.connect()

    def on_stop(self) -> None:
        """Hang up, by letting the client go: it closes itself then.

        With close() it would be closed twice, after which gRPC under gevent hangs when Python ends.
        """
        del self.client

    def connect(self) -> Any:
        """A client of tritonclient."""
        raise NotImplementedError

    def infer(self, tensors: list[Any]) -> Any:
        """Send one request and wait for its answer."""
        raise NotImplementedError

    def small(self) -> None:
        """What most users want."""
        self.ask("small")

    def large(self) -> None:
        """More rows in one request."""
        self.ask("large")

    def wrong(self) -> None:
        """A mistake: an input that the model does not have. Triton refuses it, so it must count as failed."""
        self.ask("wrong")

    def ask(self, kind: str) -> None:
        """Send one request and tell locust how it went."""
        tensors, rows = self.requests[kind]
        failure = None
        began = time.perf_counter()
        try:
            answer = self.infer(tensors)
        except Exception as error:  # whatever comes is a failed request, for a user
            failure = FailedRequest.of(error)
        took = time.perf_counter() - began
        if failure is None and not answer.as_numpy(output_name(answer, self.protocol)).size:
            failure = FailedRequest("wrong_answer", "the answer is empty")
        self.environment.events.request.fire(
            request_type=self.protocol,
            name=f"{self.model} {kind}",
            response_time=took * 1e3,
            response_length=0,
            exception=failure,
            context={"rows": rows},
        )
        if failure is not None:
            time.sleep(_REST)  # gevent's, like every sleep here: the other users go on


class TritonHttpUser(TritonUser):
    """Asks over HTTP. tritonclient's HTTP client is made of gevent already."""

    protocol = "http"

    def connect(self) -> Any:
        """One connection per user."""
        return httpclient.InferenceServerClient(
            address(self.environment, "http"), network_timeout=self.timeout, connection_timeout=self.timeout
        )

    def infer(self, tensors: list[Any]) -> Any:
        """POST /v2/models/.../infer."""
        return self.client.infer(self.model, tensors)


class TritonGrpcUser(TritonUser):
    """Asks over gRPC. All users of one process share a connection: gRPC sees to that."""

    protocol = "grpc"

    def connect(self) -> Any:
        """A channel."""
        return grpcclient.InferenceServerClient(
            address(self.environment, "grpc"), channel_args=[("grpc.enable_http_proxy", 0)]
        )

    def infer(self, tensors: list[Any]) -> Any:
        """ModelInfer."""
        return self.client.infer(self.model, tensors, client_timeout=self.timeout)


class StepLoad(LoadTestShape):
    """`--steps 1:5,4:5`: one user for 5 seconds, then four for 5. Without it: `-u`, `-r` and `-t`."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """Called by locust every second: users, users to start per second; None ends the test."""
        runner: Any = self.runner
        options = runner.environment.parsed_options
        steps = read_steps(options.steps)
        if not steps:
            users = options.num_users or 1
            if not options.run_time:
                return users, options.spawn_rate or 1.0
            steps = [(users, options.run_time)]
        end = 0
        for users, seconds in steps:
            end += seconds
            if self.get_run_time() < end - _TICK:
                runner.environment.recorder.step(users)
                return users, options.spawn_rate if not options.steps and options.spawn_rate else float(users)
        runner.environment.recorder.finish()
        return None


def address(environment: Any, protocol: str) -> str:
    """`host:port` of a protocol."""
    return str(getattr(environment.parsed_options, f"{protocol}_address"))


def output_name(answer: Any, protocol: str) -> str:
    """The first output of an answer."""
    response = answer.get_response()
    return str(response["outputs"][0]["name"] if protocol == "http" else response.outputs[0].name)


def tensor(module: Any, name: str, array: Any, datatype: str) -> Any:
    """An input of a request, for either client."""
    found = module.InferInput(name, list(array.shape), datatype)
    found.set_data_from_numpy(array)
    return found


@events.init_command_line_parser.add_listener
def on_parser(parser: Any) -> None:
    """Our options beside locust's."""
    add_options(parser)


@events.init.add_listener
def on_init(environment: Any, **_: Any) -> None:
    """Prepare the requests of the chosen users; end with a clear message when that cannot be done."""
    options = environment.parsed_options
    random.seed(options.seed)
    problem = ""
    try:
        read_steps(options.steps)
        for user in environment.user_classes:
            prepare(user, environment)
        environment.recorder = Recorder(environment, options.figures, options.warmup)
    except LabError as error:
        problem = str(error)
    # Not inside `except`: there the error still holds a gRPC client, which must go before Python ends.
    if problem:
        sys.stderr.write(f"{problem}\n")
        sys.exit(2)


def prepare(user: type[TritonUser], environment: Any) -> None:
    """Give a class of users its requests, its weights and its pauses."""
    options = environment.parsed_options
    user.model, user.timeout = options.model, options.client_timeout
    # It is not closed here but goes by itself, for the reason that `on_stop` names.
    view = ServerView(address(environment, user.protocol), user.protocol, options.model)
    module = httpclient if user.protocol == "http" else grpcclient
    most = int(view.config().get("max_batch_size", 0)) or 1
    small, large = options.small, options.large or min(8, most)
    for kind, rows in (("small", small), ("large", large)):
        payload = build_payload(view, batch=rows, seed=options.seed)
        tensors = [
            tensor(module, name, array, payload.datatypes[name]) for name, array in payload.inputs[0].items()
        ]
        user.requests = {**user.requests, kind: (tensors, rows)}
    unknown = tensor(module, "no_such_input", np.zeros((1, 1), np.float32), "FP32")
    user.requests = {**user.requests, "wrong": ([unknown], 1)}
    weights = zip((user.small, user.large, user.wrong), read_mix(options.mix), strict=True)
    user.tasks = [ask for ask, weight in weights for _ in range(weight)]
    if options.pace and options.think:
        raise LoadError("A user either thinks or keeps a pace.", fix="Give --think or --pace, not both.")
    if options.pace:
        user.wait_time = constant_pacing(options.pace)
    else:
        user.wait_time = between(options.think / 2, options.think * 1.5) if options.think else constant(0)
