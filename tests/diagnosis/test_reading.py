"""The decisive line is found in logs of every shape: old releases, tables, compose, Kubernetes, clients."""

from __future__ import annotations

import json

import pytest

from lab_utils.diagnosis import explain_log, explain_message, read_log

BAD = "E0411 03:30:43.580405 163 model_lifecycle.cc:642] "
INFO = "I0411 03:30:43.480405 163 model_lifecycle.cc:472] "
PROTO = "[libprotobuf ERROR /tmp/text_format.cc:337] Error parsing text-format inference.ModelConfig: "
IMPORT = "Internal: ModuleNotFoundError: No module named 'cv2'"
NO_BACKEND = (
    "Invalid argument: unable to find backend library for backend 'onnxruntim', try specifying runtime"
)
BAD_TABLE = """\
I0411 03:30:44.000000 163 server.cc:674]
+-------+---------+-----------------------------------------------------------+
| Model | Version | Status                                                    |
+-------+---------+-----------------------------------------------------------+
| net   | 1       | UNAVAILABLE: Internal: onnx runtime error 1: Load model f |
|       |         | ailed: Unsupported model IR version: 10, max supported IR |
|       |         |  version: 9                                               |
| other | 1       | READY                                                     |
+-------+---------+-----------------------------------------------------------+
"""
TENSORRT = f"""\
{INFO}loading: net:1
E0802 22:16:02.000001 1 logging.cc:40] 1: [stdArchiveReader.cpp::40] Error Code 1: Version tag does \
not match. Note: Current Version: 213, Serialized Engine Version: 205)
E0802 22:16:02.100001 1 logging.cc:40] 4: Error Code 4: Internal Error (Engine deserialization failed.)
{BAD}failed to load 'net' version 1: Internal: unable to load plan file to auto complete config
"""
ENSEMBLE = f"""\
{BAD}Invalid argument: ensemble 'net' depends on 'step' which has no loaded version. \
Model 'step' loading failed with error: version 1 is at \
UNAVAILABLE state: Internal: ModuleNotFoundError: No module named 'cv2';
"""
TRACEBACK = f"""\
{INFO}loading: net:1
{BAD}failed to load 'net' version 1: Internal: KeyError: 'threshold'

At:
  /models/net/1/helpers.py(7): read
  /models/net/1/model.py(12): initialize
  /usr/lib/python3.10/threading.py(99): run

{BAD}failed to load 'other' version 1: Internal: ValueError: no
"""
DOCKER_JSON = json.dumps(
    {"log": f"{BAD}\"failed to load 'net' version 1: {NO_BACKEND}\"\n", "stream": "stderr"}
)
CASES = {
    "quotes_of_new_releases": (
        f"{BAD}\"failed to load 'net' version 1: {NO_BACKEND}\"",
        "config.no-such-backend",
    ),
    "no_quotes_in_old_ones": (
        f"{BAD}failed to load 'net' version 1: {NO_BACKEND}",
        "config.no-such-backend",
    ),
    "compose": (
        f"triton-1  | {BAD}failed to load 'net' version 1: {NO_BACKEND}",
        "config.no-such-backend",
    ),
    "kubernetes": (
        f"2024-01-20T08:28:09.4Z stderr F {BAD}failed to load 'net' version 1: {NO_BACKEND}",
        "config.no-such-backend",
    ),
    "json_of_docker": (
        DOCKER_JSON,
        "config.no-such-backend",
    ),
    "colours": (
        f"\x1b[31m{BAD}failed to load 'net' version 1: {NO_BACKEND}\x1b[0m",
        "config.no-such-backend",
    ),
    "quoted_in_a_letter": (
        f"> {BAD}failed to load 'net' version 1: {NO_BACKEND}",
        "config.no-such-backend",
    ),
    "iso_times": (
        f"2024-05-31T04:12:30Z E 123 m.cc:654] \"failed to load 'net' version 1: {NO_BACKEND}\"",
        "config.no-such-backend",
    ),
    "no_header_at_all": (
        f"UNAVAILABLE: {NO_BACKEND}",
        "config.no-such-backend",
    ),
    "table_of_models": (
        BAD_TABLE,
        "onnx.ir-version",
    ),
    "better_line_above": (
        TENSORRT,
        "tensorrt.version",
    ),
    "ensemble_alone": (
        ENSEMBLE,
        "python.module",
    ),
    "traceback_over_lines": (
        TRACEBACK,
        "python.config-key",
    ),
    "the_load_api_only": (
        "failed to load 'net', failed to poll from model repository",
        "symptom.poll",
    ),
    "client": (
        "InferenceServerException: [StatusCode.UNAVAILABLE] failed to connect to all addresses",
        "network.refused",
    ),
    "docker_run": (
        'docker: Error response from daemon: could not select device driver "" with capabilities',
        "container.no-gpu-driver",
    ),
    "a_crash": (
        f"{INFO}loading: net:1\nSignal (11) received.\n",
        "startup.crash",
    ),
    "parser_line_above_poll": (
        f'{PROTO}4:37: Unknown enumeration value of "FP32" for field "data_type".\n'
        f"{BAD}Poll failed for model directory 'net': failed to read text proto",
        "parsing.unknown-enum",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_reason_is_found(name: str) -> None:
    log, rule = CASES[name]
    told = explain_log(log, "net")
    assert told.rule == rule, told
    assert told.cause
    assert told.log_lines
    for line in told.log_lines:
        assert line in log  # raw lines, unchanged


def test_the_last_load_counts() -> None:
    first = f"{INFO}loading: net:1\n{BAD}failed to load 'net' version 1: {NO_BACKEND}\n"
    second = f"{INFO}loading: net:1\n{BAD}failed to load 'net' version 1: {IMPORT}\n"
    assert explain_log(first + second, "net").rule == "python.module"
    assert explain_log(second + first, "net").rule == "config.no-such-backend"
    mended = f"{INFO}loading: net:1\n{INFO}successfully loaded 'net'\n"
    assert explain_log(first + mended, "net").ready
    assert explain_log(first + mended + second, "net").rule == "python.module"


def test_the_lines_of_another_model_do_not_count() -> None:
    parser = (
        f"{PROTO}3:17: Integer out of range (99999999999)\n"
        f"{BAD}Poll failed for model directory 'net_b': failed to read text proto"
    )
    log = f"{BAD}failed to load 'net' version 1: Internal: Stub process 'net_0_0' is not healthy.\n{parser}\n"
    assert explain_log(log, "net").rule == "python.stub-dead"
    assert explain_log(log, "net_b").rule == "parsing.out-of-range"
    assert explain_log(log, "ne").cause is None


def test_the_place_is_the_innermost_own_line() -> None:
    told = explain_log(TRACEBACK, "net")
    assert (told.file, told.line) == ("/models/net/1/helpers.py", 7)


def test_an_ensemble_is_explained_by_its_step() -> None:
    syntax = "Internal: SyntaxError: expected ':' (model.py, line 3)"
    log = f"{INFO}loading: step:1\n{BAD}failed to load 'step' version 1: {syntax}\n"
    # Triton 2.51 reports the ensemble again at each poll, with a message whose memory is freed already.
    garbage = (
        f"{BAD}Invalid argument: ensemble 'net' depends on 'step' which has no loaded version. "
        "Model 'step' loading failed with error: \ufffd\ufffd\n"
    )
    told = explain_log(log + garbage, "net")
    assert told.model == "net"
    assert told.rule == "python.syntax"
    assert "`step`" in (told.cause or "")
    assert (told.file, told.line) == ("step/1/model.py", 3)


def test_no_cause_is_said_plainly() -> None:
    log = f"{BAD}failed to load 'net' version 1: Internal: the frobnicator went zzz"
    told = explain_log(log, "net")
    assert told.cause is None
    assert told.fix is None
    assert told.log_lines == [log]
    assert "No known cause" in str(told)
    assert told.to_json()["cause"] is None


def test_without_a_model_the_first_failure_counts() -> None:
    assert explain_log(TENSORRT, None).model == "net"
    told = explain_log(
        "error: failed to start HTTP service: Unavailable - Socket '0.0.0.0:8000' already in use", None
    )
    assert told.rule == "network.port-taken"
    assert "8000" in (told.cause or "")


def test_a_message_of_a_client() -> None:
    told = explain_message(
        "unexpected shape for input 'x' for model 'net'. Expected [-1,4], got [4]. NOTE: ..."
    )
    assert told.model == "net"
    assert "[4]" in (told.cause or "")
    assert explain_message("something else").cause is None


def test_an_empty_log_and_garbage_are_no_error() -> None:
    for log in (
        "",
        "\n\n",
        "\x00\x01\ufffd",
        "| | |\n+---+\n",
        "{",
        '{"log": 3}',
        "E0411 03:30:43.5 1 x.cc:1]",
    ):
        assert explain_log(log, "net").cause is None
        assert isinstance(read_log(log), list)
