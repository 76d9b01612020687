"""Read, write, compare and locate: the config as a message."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab_utils import server as triton
from lab_utils.repository import (
    ConfigError,
    ModelConfig,
    RepositoryError,
    diff_configs,
    draw_diff,
    format_config,
    locate,
    locate_nearest,
    parse_config,
    read_config,
    served_config,
)
from tests.repository.cases.kit import PYTHON_CONFIG, onnx_model

TEXT = """\
name: "m"  # the folder's name
max_batch_size: 8
input [
  { name: "a" data_type: TYPE_FP32 dims: [ 1 ] },
  {
    name: "b"
    data_type: TYPE_INT64
    dims: [ -1, 3 ]
  }
]
input { name: "c" data_type: TYPE_FP32 dims: 4 dims: 5 }
dynamic_batching {
  preferred_batch_size: [ 4, 8 ]
  default_queue_policy { max_queue_size: 5 }
}
parameters { key: "row ms" value { string_value: "1" } }
parameters: [ { key: "other" value: { string_value: "2" } } ]
"""


def _fault(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    return caught.value


@pytest.mark.parametrize(
    ("field", "place"),
    [
        ("name", (1, 1)),
        ("max_batch_size", (2, 1)),
        ("input", (3, 1)),
        ("input[0]", (4, 3)),
        ("input[0].dims", (4, 36)),
        ("input[0].dims[0]", (4, 44)),
        ("input[1]", (5, 3)),
        ("input[1].dims", (8, 5)),
        ("input[1].dims[1]", (8, 17)),
        ("input[2]", (11, 1)),
        ("input[2].name", (11, 9)),
        ("input[2].dims[1]", (11, 48)),
        ("dynamic_batching.preferred_batch_size[1]", (13, 30)),
        ("dynamic_batching.default_queue_policy.max_queue_size", (14, 26)),
        ("parameters[row ms]", (16, 1)),
        ("parameters[row ms].string_value", (16, 36)),
        ("parameters[other].value.string_value", (17, 39)),
        ("parameters[1].key", (17, 17)),
        ("output", None),
        ("input[3]", None),
    ],
)
def test_locate(field: str, place: tuple[int, int] | None) -> None:
    assert locate(TEXT, field) == place


def test_what_is_missing_is_located_at_what_surrounds_it() -> None:
    assert locate_nearest(TEXT, "input[1].reshape.shape") == (5, 3)
    assert locate_nearest(TEXT, "output[0].dims") == (1, 1)


def test_what_stands_before_a_fault_is_located() -> None:
    assert locate(TEXT + "foo: 1\n", "input[1].dims") == (8, 5)


def test_error_names_place_field_and_nearest_name() -> None:
    error = _fault(TEXT.replace("max_queue_size", "max_queue_siz"))
    assert (error.line, error.column) == (14, 26)
    assert error.field == "dynamic_batching.default_queue_policy.max_queue_siz"
    assert error.nearest == "max_queue_size"
    assert error.problem == "unknown_field"
    assert "line 14, column 26" in str(error)
    assert "`max_queue_size`" in error.fix


@pytest.mark.parametrize(
    ("old", "new", "nearest", "fix"),
    [
        ("TYPE_INT64", "TYPE_LONG", "TYPE_INT64", "TYPE_INT64"),
        ("TYPE_INT64", "INT64", "TYPE_INT64", "TYPE_INT64"),
        ("TYPE_INT64", '"TYPE_INT64"', "TYPE_INT64", "data_type: TYPE_INT64"),
        ("data_type", "dtype", "data_type", "data_type"),
        ("dims", "shape", "dims", "dims"),
        ("max_batch_size", "max-batch-size", "max_batch_size", "max_batch_size"),
        (
            "preferred_batch_size: [ 4, 8 ]",
            "max_queue_size: 3",
            None,
            "dynamic_batching.default_queue_policy",
        ),
        ("  }\n]\ninput {", "  }\noutput {", None, ","),
        ("]\ninput {", "\noutput {", None, ","),
    ],
)
def test_mends(old: str, new: str, nearest: str | None, fix: str) -> None:
    error = _fault(TEXT.replace(old, new, 1))
    assert error.nearest == nearest
    assert fix in error.fix or fix in error.what


def test_an_open_bracket_is_shown_where_it_was_opened() -> None:
    error = _fault(TEXT[: TEXT.index("}\nparameters {")])
    assert (error.problem, error.line, error.column) == ("unclosed", 12, 18)
    assert error.log_line.startswith("15:1: ")


def test_a_block_that_was_not_closed_before_the_next_field() -> None:
    error = _fault('input {\n name: "a"\n dims: [ 1 ]\noutput { name: "b" }\n')
    assert error.line == 4
    assert "line 1" in error.fix


def test_utf16_and_missing_files_are_said_plainly(tmp_path: Path) -> None:
    file = tmp_path / "config.pbtxt"
    with pytest.raises(RepositoryError, match=r"config\.pbtxt cannot be read"):
        read_config(tmp_path)
    file.write_bytes(PYTHON_CONFIG.encode("utf-16"))
    with pytest.raises(ConfigError, match="UTF-16"):
        read_config(file)
    file.write_bytes(b"\xef\xbb\xbf" + PYTHON_CONFIG.encode())
    with pytest.raises(ConfigError, match="byte order mark"):
        read_config(file)


def test_format_and_parse_are_inverse() -> None:
    config = parse_config(TEXT)
    assert parse_config(format_config(config)) == config
    assert format_config(parse_config(format_config(config))) == format_config(config)
    assert "dims: [-1, 3]" in format_config(config)


def test_every_config_of_the_course_is_read() -> None:
    files = list((Path(__file__).parents[2] / "model_repository").glob("*/config.pbtxt"))
    assert len(files) >= 1
    for file in files:
        assert read_config(file).input, file


def test_diff_has_paths_values_and_what_is_gone() -> None:
    before = parse_config(TEXT)
    after = ModelConfig()
    after.CopyFrom(before)
    after.max_batch_size = 16
    after.input[1].dims[1] = 4
    after.instance_group.add(count=2)
    after.parameters["other"].string_value = "3"
    after.response_cache.SetInParent()
    del after.parameters["row ms"]
    found = {d.field: (d.before, d.after) for d in diff_configs(before, after)}
    assert found == {
        "max_batch_size": ("8", "16"),
        "input[1].dims": ("[-1, 3]", "[-1, 4]"),
        "instance_group[0].count": (None, "2"),
        "parameters[other].string_value": ('"2"', '"3"'),
        "parameters[row ms].string_value": ('"1"', None),
        "response_cache": (None, "{ }"),
    }
    assert diff_configs(before, before) == []
    drawn = draw_diff(diff_configs(before, after), before="mine", after="served")
    assert drawn.splitlines()[0].split() == ["field", "mine", "served"]
    assert ["max_batch_size", "8", "16"] in [line.split() for line in drawn.splitlines()]


@pytest.mark.live
def test_what_auto_complete_added(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    own = 'platform: "onnxruntime_onnx"\nmax_batch_size: 4\n'
    onnx_model(repository, "mine", own, shape=("batch", 4))
    server = triton.start(
        repository, name="served-config", options=["--exit-timeout-secs=1"], wait_for=["mine"]
    )
    try:
        served = served_config(server.endpoints.http, "mine")
        with pytest.raises(RepositoryError, match="reports no config for `other`"):
            served_config(server.endpoints.http, "other")
    finally:
        server.stop()
    added = {d.field: d.after for d in diff_configs(parse_config(own), served)}
    assert added["input[0].dims"] == "[4]"
    assert added["input[0].data_type"] == "TYPE_FP32"
    assert added["name"] == '"mine"'
    assert "max_batch_size" not in added
    with pytest.raises(RepositoryError, match="No server answers"):
        served_config(server.endpoints.http, "mine")
