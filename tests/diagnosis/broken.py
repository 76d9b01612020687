"""The broken models of test_live: what is wrong, the rule that must find it, and where."""

from __future__ import annotations

from tests.diagnosis.conftest import ECHO, TENSORS, python

RAISES = """\
class TritonPythonModel:
    def initialize(self, args):
        self.read("labels.txt")

    def read(self, name):
        self.labels = open(name).read()
"""
STEP = (
    'ensemble_scheduling {\n  step [ {\n    model_name: "%s"\n    model_version: -1\n'
    '    input_map { key: "%s" value: "x" }\n    output_map { key: "y" value: "y" }\n  } ]\n}\n'
)
TWO = 'input [ { name: "a" data_type: TYPE_FP32 dims: [ 4 ] },\n  { name: "x" data_type: TYPE_FP32 %s } ]\n'
OUT = 'output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
GPU = "instance_group [\n  { count: 1\n    kind: KIND_GPU } ]\n"
ENSEMBLE = 'platform: "ensemble"\nmax_batch_size: 8\n' + TENSORS
# config, more files, rule, file inside the model's folder ("" for the folder), line
BROKEN: dict[str, tuple[str | None, dict[str, str | bytes], str, str, int | None]] = {
    "misspelt": (
        python("dynamic_batchng { }\n"),
        {},
        "parsing.unknown-field",
        "config.pbtxt",
        5,
    ),
    "enum": (
        python(tensors=TENSORS.replace("TYPE_FP32", "FP32")),
        {},
        "parsing.unknown-enum",
        "config.pbtxt",
        3,
    ),
    "text_number": (
        python(batch='"8"'),
        {},
        "parsing.number-wanted",
        "config.pbtxt",
        2,
    ),
    "open": (
        python("dynamic_batching {\n"),
        {},
        "parsing.end-of-file",
        "config.pbtxt",
        5,
    ),
    "two_schedulers": (
        python("dynamic_batching { }\nsequence_batching { }\n"),
        {},
        "parsing.two-schedulers",
        "config.pbtxt",
        6,
    ),
    "newer": (
        python("model_metrics { }\n"),
        {},
        "parsing.newer-field",
        "config.pbtxt",
        5,
    ),
    "name": (
        'name: "other"\n' + python(),
        {},
        "layout.name",
        "config.pbtxt",
        1,
    ),
    "no_config": (
        None,
        {},
        "layout.no-config",
        "config.pbtxt",
        None,
    ),
    "leading_zero": (
        python(),
        {"01/model.py": ECHO},
        "layout.leading-zero",
        "01",
        None,
    ),
    "no_version": (
        python(),
        {"model.py": ECHO},
        "layout.no-version",
        "",
        None,
    ),
    "policy": (
        python("version_policy { specific { versions: [7] } }\n"),
        {},
        "layout.version-absent",
        "config.pbtxt",
        5,
    ),
    "backend": (
        'backend: "tensorflo"\n' + TENSORS,
        {},
        "config.no-such-backend",
        "config.pbtxt",
        1,
    ),
    "platform": (
        'max_batch_size: 8\nplatform: "onnx"\n' + TENSORS,
        {},
        "config.platform",
        "config.pbtxt",
        2,
    ),
    "no_dims": (
        python(tensors=TWO % "" + OUT),
        {},
        "config.no-dims",
        "config.pbtxt",
        4,
    ),
    "zero_dim": (
        python(tensors=TWO % "dims: [ 0 ]" + OUT),
        {},
        "config.bad-dim",
        "config.pbtxt",
        4,
    ),
    "gpu": (
        python(GPU),
        {},
        "config.gpu-without-gpu",
        "config.pbtxt",
        7,
    ),
    "preferred": (
        python("dynamic_batching {\n  preferred_batch_size: [16]\n}\n"),
        {},
        "scheduling.preferred-size",
        "config.pbtxt",
        6,
    ),
    "cache": (
        python("sequence_batching { }\nresponse_cache { enable: true }\n"),
        {},
        "scheduling.cache-refused",
        "config.pbtxt",
        6,
    ),
    "warmup": (
        python('model_warmup [ { name: "w" batch_size: 1 } ]\n'),
        {},
        "scheduling.warmup-inputs",
        "config.pbtxt",
        5,
    ),
    "imports": (
        python(),
        {"1/model.py": "import os\nimport nothere\n"},
        "python.module",
        "1/model.py",
        2,
    ),
    "syntax": (
        python(),
        {"1/model.py": "import os\nclass TritonPythonModel\n"},
        "python.syntax",
        "1/model.py",
        2,
    ),
    "raises": (
        python(),
        {"1/model.py": RAISES},
        "python.file",
        "1/model.py",
        6,
    ),
    "no_class": (
        python(),
        {"1/model.py": "x = 1\n"},
        "python.no-class",
        "1/model.py",
        None,
    ),
    "dies": (
        python(),
        {"1/model.py": "import os\nos._exit(3)\n"},
        "python.stub-dead",
        "1/model.py",
        None,
    ),
    "environment": (
        python('parameters { key: "EXECUTION_ENV_PATH"\n  value { string_value: "/nothing.tar.gz" } }\n'),
        {},
        "python.env-path",
        "config.pbtxt",
        5,
    ),
    "empty_onnx": (
        'platform: "onnxruntime_onnx"\n' + TENSORS,
        {"1/model.onnx": b""},
        "file.empty",
        "1/model.onnx",
        None,
    ),
    "wrong_file": (
        'platform: "onnxruntime_onnx"\n' + TENSORS,
        {"1/net.onnx": b"x"},
        "file.missing-named",
        "config.pbtxt",
        1,
    ),
    "no_step": (
        ENSEMBLE + STEP % ("nowhere", "x"),
        {},
        "ensemble.missing-model",
        "config.pbtxt",
        7,
    ),
    "wrong_map": (
        ENSEMBLE + STEP % ("good", "z"),
        {},
        "ensemble.no-input",
        "config.pbtxt",
        9,
    ),
    "too_big": (
        ENSEMBLE.replace("8", "64") + STEP % ("good", "x"),
        {},
        "ensemble.batch-size",
        "config.pbtxt",
        2,
    ),
}
