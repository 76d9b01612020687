"""Texts that Triton's parser refuses, or takes although they look odd."""

from __future__ import annotations

from tests.repository.cases.kit import PYTHON_CONFIG, Case, Outcome, with_config


def _case(
    name: str, old: str, new: str, rule: str | None = None, *explain: str, server: Outcome = "refuse"
) -> Case:
    """The sound config with one place changed."""
    assert old in PYTHON_CONFIG, old
    return Case(name, with_config(name, PYTHON_CONFIG.replace(old, new, 1)), server, rule, explain)


def _bytes(name: str, config: bytes, rule: str | None, *explain: str, server: Outcome = "refuse") -> Case:
    return Case(name, with_config(name, config), server, rule, explain)


_SIZE, _TYPE, _DIMS = "max_batch_size: 8", "data_type: TYPE_FP32", "dims: [ 4 ]"
_TEXT = PYTHON_CONFIG.encode()

CASES = [
    _case("parse_misspelt_field", _SIZE, "max_batchsize: 8", "config-unknown-field", "max_batchsize"),
    _case("parse_field_of_numpy", _TYPE, "dtype: TYPE_FP32", "config-unknown-field", "dtype"),
    _case("parse_capital_field", "backend:", "Backend:", "config-unknown-field", "Backend"),
    _case("parse_dashes", _SIZE, "max-batch-size: 8", "config-unknown-field", "max"),
    _case(
        "parse_field_of_queue_policy",
        _SIZE,
        "max_batch_size: 8 dynamic_batching { max_queue_size: 4 }",
        "config-unknown-field",
        "max_queue_size",
    ),
    _case(
        "parse_newer_field",
        _SIZE,
        "max_batch_size: 8 model_metrics { }",
        "config-newer-field",
        "model_metrics",
    ),
    _case("parse_type_of_numpy", _TYPE, "data_type: FP32", "config-unknown-value", "FP32"),
    _case("parse_quoted_enum", _TYPE, 'data_type: "TYPE_FP32"', "config-wrong-type", "data_type"),
    _case("parse_kind_plural", "KIND_CPU", "KIND_CPUS", "config-unknown-value", "KIND_CPUS"),
    _case("parse_quoted_number", _SIZE, 'max_batch_size: "8"', "config-wrong-type", "max_batch_size"),
    _case("parse_unquoted_text", 'backend: "python"', "backend: python", "config-wrong-type", "backend"),
    _case("parse_float_for_integer", _SIZE, "max_batch_size: 8.0", "config-wrong-type", "max_batch_size"),
    _case("parse_number_too_big", _SIZE, "max_batch_size: 3000000000", "config-out-of-range", "3000000000"),
    _case(
        "parse_twice",
        _SIZE,
        "max_batch_size: 8\nmax_batch_size: 4",
        "config-duplicate-field",
        "max_batch_size",
    ),
    _case(
        "parse_two_schedulers",
        _SIZE,
        "max_batch_size: 8 dynamic_batching { } sequence_batching { }",
        "config-two-of-one",
        "sequence_batching",
        "dynamic_batching",
    ),
    _case("parse_dims_without_colon", _DIMS, "dims [ 4 ]", "config-syntax", "dims"),
    _case("parse_missing_comma", _DIMS, "dims: [ 4 4 ]", "config-syntax", "comma"),
    _case("parse_trailing_comma", _DIMS, "dims: [ 4, ]", "config-wrong-type", "comma"),
    _case("parse_equals_sign", _SIZE, "max_batch_size = 8", "config-syntax", "max_batch_size", "colon"),
    _case("parse_slash_comment", _SIZE, "// largest batch\nmax_batch_size: 8", "config-syntax", "comment"),
    _case("parse_open_brace", "count: 1 } ]", "count: 1", "config-unclosed", "closed"),
    _case("parse_brace_too_many", "count: 1 } ]", "count: 1 } ] }", "config-syntax", "}"),
    _case("parse_open_quote", '"python"', '"python', "config-syntax", "quote"),
    _case(
        "parse_windows_path",
        '"python"',
        '"python" default_model_filename: "c:\\models\\a.py"',
        "config-syntax",
        "backslash",
    ),
    _case("parse_typographic_quotes", '"python"', "“python”", "config-syntax", "quote"),
    _case("parse_no_break_space", "max_batch_size: 8", "max_batch_size:\u00a08", "config-syntax", "space"),
    _case(
        "parse_parameter_without_block",
        _SIZE,
        'max_batch_size: 8 parameters { key: "a" value: "1" }',
        "config-syntax",
        "value",
    ),
    _bytes("parse_json", b'{ "backend": "python", "max_batch_size": 8 }\n', "config-syntax", "JSON"),
    _bytes("parse_python_code", b"import json\nconfig = json.loads(text)\n", "not-a-config", "import"),
    _bytes("parse_yaml", b"---\nname: parse_yaml\nbackend: python\n", "not-a-config", "line 1"),
    _case("parse_template", "max_batch_size: 8", "max_batch_size: ${size}", "config-wrong-type", "template"),
    _bytes("parse_byte_order_mark", b"\xef\xbb\xbf" + _TEXT, "config-syntax", "byte order mark"),
    _bytes("parse_utf16", PYTHON_CONFIG.encode("utf-16"), "config-encoding", "UTF-16"),
    # Odd, and Triton takes it: lint must say nothing.
    _bytes("parse_windows_line_ends", _TEXT.replace(b"\n", b"\r\n"), None, server="accept"),
    _bytes("parse_latin1_comment", b"# caf\xe9\n" + _TEXT, None, server="accept"),
    _case("parse_enum_by_number", _TYPE, "data_type: 11", server="accept"),
    _case(
        "parse_commas_between_fields", "TYPE_FP32 dims: [ 4 ] }", "TYPE_FP32, dims: [ 4 ], }", server="accept"
    ),
    _case(
        "parse_angle_brackets",
        "[ { kind: KIND_CPU count: 1 } ]",
        "< kind: KIND_CPU count: 0x1 >",
        server="accept",
    ),
    _case("parse_minus_apart", _DIMS, "dims: [ - 1 ]", server="accept"),
]
