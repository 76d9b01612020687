"""Plausible wrong answers to 2.10."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer

_FIRST = """
    {{
      model_name: "{preprocess}" model_version: -1
      input_map {{ key: "image" value: "image" }}
      output_map {{ key: "input_tensor" value: "prepared" }}
    }},"""

_SECOND = """
    {{
      model_name: "{classifier}" model_version: -1
      input_map {{ key: "input" value: "prepared" }}
      output_map {{ key: "output" value: "scores" }}
    }}"""


def _ensemble(
    platform: str = 'platform: "ensemble"',
    batch: str = "1024",
    image: str = 'name: "image" data_type: TYPE_UINT8 dims: [ 28, 28 ]',
    scores: str = 'name: "scores" data_type: TYPE_FP32 dims: [ 10 ]',
    steps: str = _FIRST + _SECOND,
    more: str = "",
) -> str:
    return f"""
def ensemble_config(name, preprocess, classifier):
    return f'''
name: "{{name}}"
{platform}
max_batch_size: {batch}
input [ {{{{ {image} }}}} ]
output [ {{{{ {scores} }}}} ]
ensemble_scheduling {{{{ step [{steps}
] }}}}
{more}
'''
"""


_SAME_NAMES = _FIRST.replace('"prepared"', '"input_tensor"') + _SECOND.replace('"prepared"', '"input"')
_REVERSED = _FIRST.replace(
    'key: "input_tensor" value: "prepared"', 'key: "prepared" value: "input_tensor"'
) + _SECOND.replace('key: "output" value: "scores"', 'key: "scores" value: "output"')

PIPELINE: dict[str, list[WrongAnswer]] = {
    "2.10": [
        WrongAnswer("no platform", _ensemble(platform=""), "Could not determine backend"),
        WrongAnswer("a backend", _ensemble(platform='backend: "ensemble"'), "not a backend"),
        WrongAnswer(
            "floats for the picture",
            _ensemble(image='name: "image" data_type: TYPE_FP32 dims: [ 28, 28 ]'),
            "what the first step reads: bytes",
        ),
        WrongAnswer("as large as the classifier", _ensemble(batch="8192"), "the smallest of its steps"),
        WrongAnswer("no batches", _ensemble(batch="0"), "none can be sent as a batch"),
        WrongAnswer("smaller batches", _ensemble(batch="64"), "max_batch_size is 64"),
        WrongAnswer("key and value reversed", _ensemble(steps=_REVERSED), "is not used"),
        WrongAnswer("no common name", _ensemble(steps=_SAME_NAMES), "'input', is not connected"),
        WrongAnswer(
            "without preprocessing",
            _ensemble(steps=_SECOND.replace('"prepared"', '"image"')),
            "Is a step missing between the two",
        ),
        WrongAnswer(
            "the worked example's models",
            _ensemble(
                steps=(_FIRST + _SECOND)
                .replace("{preprocess}", "digits_preprocess")
                .replace("{classifier}", "mnist_mlp")
            ),
            "the steps' models have other names here",
        ),
        WrongAnswer(
            "the channel in the picture",
            _ensemble(image='name: "image" data_type: TYPE_UINT8 dims: [ 1, 28, 28 ]'),
            "The dims are those of the step",
        ),
        WrongAnswer(
            "an instance group",
            _ensemble(more="instance_group [ {{ kind: KIND_CPU }} ]"),
            "An ensemble has no instances",
        ),
        WrongAnswer(
            "another output name",
            _ensemble(
                scores='name: "output" data_type: TYPE_FP32 dims: [ 10 ]',
                steps=_FIRST + _SECOND.replace('"scores"', '"output"'),
            ),
            "its outputs are: output",
        ),
        WrongAnswer(
            "a fixed version",
            _ensemble(steps=(_FIRST + _SECOND).replace("model_version: -1", "model_version: 1")),
            "a fixed number would stay behind",
        ),
        WrongAnswer(
            "another name",
            _ensemble().replace('"{name}"', '"digits_pipeline"'),
            "directory name must equal model name",
        ),
        WrongAnswer(
            "a quoted colon",
            _ensemble(steps=_FIRST.replace('"image" value', '"image": value') + _SECOND),
            "Mend the text at that line and column",
        ),
        WrongAnswer(
            "a step too many",
            _ensemble(steps=_FIRST + _SECOND + "," + _SECOND.replace('"scores"', '"again"')),
            "is unused in ensemble",
        ),
    ],
}
