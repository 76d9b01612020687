"""Ensembles: their own config, and their members."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.repository.cases.kit import PYTHON_CONFIG, Case, Loaded, Outcome, python_model, write_model

INPUT = 'input { name: "A" data_type: TYPE_FP32 dims: [ 4 ] }'
OUTPUT = 'output { name: "B" data_type: TYPE_FP32 dims: [ 4 ] }'
Map = dict[str, str]


def step(
    model: str, inputs: Map | None = None, outputs: Map | None = None, version: str = "model_version: -1"
) -> str:
    """One step; by default A goes in as x and y comes out as B."""
    parts = [f'model_name: "{model}" {version}']
    for side, given in (
        ("input", {"x": "A"} if inputs is None else inputs),
        ("output", {"y": "B"} if outputs is None else outputs),
    ):
        parts += [f'{side}_map {{ key: "{k}" value: "{v}" }}' for k, v in given.items()]
    return f"step {{ {' '.join(parts)} }}"


def two_inputs(config: str) -> str:
    """The Python model's config with a second input `z`."""
    return config.replace("input [ {", 'input [ { name: "z" data_type: TYPE_FP32 dims: [ 4 ] }, {', 1)


MEMBERS = {
    "echo": PYTHON_CONFIG,
    "whole": PYTHON_CONFIG.replace("FP32", "INT32", 1),
    "five": PYTHON_CONFIG.replace("dims: [ 4 ]", "dims: [ 5 ]", 1),
    "pair": two_inputs(PYTHON_CONFIG),
    "spare": two_inputs(PYTHON_CONFIG).replace("dims: [ 4 ] }", "dims: [ 4 ] optional: true }", 1),
    "small": PYTHON_CONFIG.replace("max_batch_size: 8", "max_batch_size: 4"),
    "single": PYTHON_CONFIG.replace("max_batch_size: 8", "max_batch_size: 0"),
    "broken": PYTHON_CONFIG + "colour: 1\n",
    "stream": PYTHON_CONFIG + "model_transaction_policy { decoupled: true }\n",
}


def ensemble(
    name: str,
    steps: Sequence[str],
    rule: str | None,
    *explain: str,
    extra: str = "",
    inputs: str = INPUT,
    outputs: str = OUTPUT,
    platform: str = 'platform: "ensemble"',
    members: Sequence[str] = ("echo",),
    server: Outcome = "refuse",
    shown: object = None,
    version: bool = True,
) -> Case:
    """An ensemble over some of MEMBERS, each written under a name of this case's own."""

    def build(repository: Path) -> None:
        body = " ".join(steps)
        for member in members:
            body = body.replace(f'"{member}"', f'"{name}_{member}"')
            python_model(repository, f"{name}_{member}", MEMBERS[member])
        config = (
            f"{platform}\nmax_batch_size: 8\n{inputs}\n{outputs}\nensemble_scheduling {{ {body} }}\n{extra}\n"
        )
        write_model(repository, name, config, {"1": None} if version else {})

    return Case(name, build, server, rule, explain, shown=shown)  # type: ignore[arg-type]


def _only_one_row(loaded: Loaded) -> None:
    for rows, status in ((1, 200), (2, 400)):
        row = {"name": "A", "datatype": "FP32", "shape": [rows, 4], "data": [0.5] * 4 * rows}
        assert loaded.infer({"inputs": [row]}).status_code == status


C = 'input { name: "C" data_type: TYPE_FP32 dims: [ 4 ] }'
CASES = [
    ensemble("ensemble", [step("echo")], None, server="accept"),
    ensemble("ensemble_optional_input", [step("spare")], None, members=["spare"], server="accept"),
    ensemble("ensemble_no_version_folder", [step("echo")], "no-version", "version", version=False),
    ensemble("ensemble_no_step", [], "ensemble-step", "step"),
    ensemble("ensemble_no_input_map", [step("echo", {})], "ensemble-step", "input_map"),
    ensemble("ensemble_no_model_name", [step("")], "ensemble-step", "model_name"),
    ensemble("ensemble_unknown_model", [step("nowhere")], "ensemble-unknown-model", "nowhere"),
    ensemble(
        "ensemble_broken_model",
        [step("broken")],
        "ensemble-member",
        "ensemble_broken_model_broken",
        members=["broken"],
    ),
    ensemble("ensemble_no_platform", [step("echo")], "ensemble-platform", "platform", platform=""),
    ensemble(
        "ensemble_as_backend", [step("echo")], "ensemble-platform", "platform", platform='backend: "ensemble"'
    ),
    ensemble(
        "ensemble_instance_group",
        [step("echo")],
        "ensemble-extra",
        "instance",
        extra="instance_group { kind: KIND_CPU }",
    ),
    ensemble(
        "ensemble_batching",
        [step("echo")],
        "config-two-of-one",
        "dynamic_batching",
        extra="dynamic_batching { }",
    ),
    ensemble(
        "ensemble_optimization", [step("echo")], "ensemble-extra", "optimization", extra="optimization { }"
    ),
    ensemble("ensemble_input_not_mapped", [step("pair")], "ensemble-tensor", "z", members=["pair"]),
    ensemble("ensemble_no_such_input", [step("echo", {"q": "A"})], "ensemble-tensor", "q"),
    ensemble("ensemble_no_such_output", [step("echo", outputs={"q": "B"})], "ensemble-tensor", "q"),
    ensemble("ensemble_data_type", [step("whole")], "ensemble-data-type", "TYPE_INT32", members=["whole"]),
    ensemble("ensemble_dims", [step("five")], "ensemble-dims", "5", members=["five"]),
    ensemble(
        "ensemble_chain_type",
        [step("echo", outputs={"y": "t"}), step("whole", {"x": "t"})],
        "ensemble-data-type",
        "TYPE_INT32",
        members=["echo", "whole"],
    ),
    ensemble(
        "ensemble_output_type",
        [step("echo")],
        "ensemble-data-type",
        "TYPE_INT64",
        outputs=OUTPUT.replace("FP32", "INT64"),
    ),
    ensemble("ensemble_larger_batch", [step("small")], "ensemble-batch-size", "batch", members=["small"]),
    ensemble(
        "ensemble_member_without_batch",
        [step("single")],
        "ensemble-batch-one",
        members=["single"],
        server="silent",
        shown=_only_one_row,
    ),
    ensemble("ensemble_version_left_out", [step("echo", version="")], "ensemble-version", "version"),
    ensemble("ensemble_version_absent", [step("echo", version="model_version: 7")], "ensemble-version", "7"),
    ensemble("ensemble_version_given", [step("echo", version="model_version: 1")], None, server="accept"),
    ensemble(
        "ensemble_circle",
        [step("echo", {"x": "s"}, {"y": "t"}), step("echo", {"x": "t"}, {"y": "s"}), step("echo")],
        "ensemble-wiring",
        "ensemble",
    ),
    ensemble(
        "ensemble_output_in_circle",
        [
            step("pair", {"x": "A", "z": "s"}, {"y": "t"}),
            step("echo", {"x": "t"}, {"y": "s"}),
            step("echo", {"x": "s"}),
        ],
        "ensemble-wiring",
        "B",
        members=["pair", "echo"],
    ),
    ensemble(
        "ensemble_from_nowhere",
        [step("pair", {"x": "A", "z": "nowhere"})],
        "ensemble-wiring",
        "nowhere",
        members=["pair"],
    ),
    ensemble("ensemble_input_unused", [step("echo")], "ensemble-wiring", "C", inputs=f"{INPUT} {C}"),
    ensemble(
        "ensemble_output_unwritten",
        [step("echo")],
        "ensemble-wiring",
        "C",
        outputs=f"{OUTPUT} {C.replace('input', 'output')}",
    ),
    ensemble(
        "ensemble_tensor_unused",
        [step("echo"), step("echo", outputs={"y": "loose"})],
        "ensemble-wiring",
        "loose",
    ),
    ensemble("ensemble_written_twice", [step("echo"), step("echo")], "ensemble-wiring", "B"),
    ensemble(
        "ensemble_in_itself",
        [step("ensemble_in_itself", {"A": "A"}, {"B": "B"})],
        "ensemble-circle",
        "circle",
    ),
    ensemble(
        "ensemble_cache_decoupled",
        [step("stream")],
        "cache-decoupled",
        "decoupled",
        members=["stream"],
        extra="response_cache { enable: true }",
    ),
]
