"""Rules about platform, backend, runtime and the parameters of a backend."""

from __future__ import annotations

import ast
import difflib
import functools
from pathlib import Path

import lab_utils
from lab_utils.repository.files import PLATFORMS
from lab_utils.repository.lint.facts import ServerFacts
from lab_utils.repository.lint.model import Model
from lab_utils.repository.lint.registry import ERROR, WARNING, Hit, Hits, rule

GROUP = "Platform and backend"


@rule("no-backend", ERROR, "Neither a platform nor a backend, and no file that tells one.", group=GROUP)
def no_backend(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `Could not determine backend for model 'x' with no backend in model configuration`."""
    if not facts.auto_complete and not model.has_config:
        yield Hit(
            "The model has no config.pbtxt, and the server runs with auto-complete off.",
            "Write a config.pbtxt, or start the server without `--disable-auto-complete-config`.",
        )
    elif model.backend.refusal == "undetermined":
        here = "config.pbtxt names neither" if model.has_config else "There is no config.pbtxt with"
        yield Hit(
            f"{here} `platform` nor `backend`, and no version folder holds a file that tells "
            "(model.onnx, model.pt, model.py, ...).",
            'Add `backend: "python"`, `platform: "onnxruntime_onnx"` or `platform: "pytorch_libtorch"`.'
            + (
                ' For an ensemble: `platform: "ensemble"`.'
                if model.config.HasField("ensemble_scheduling")
                else ""
            ),
            "ensemble_scheduling" if model.config.HasField("ensemble_scheduling") else "",
        )


@rule(
    "unknown-platform", ERROR, "`platform` has a value that Triton does not know.", group=GROUP, whole=False
)
def unknown_platform(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `unexpected platform type 'onnxruntime' for x`."""
    if model.backend.refusal != "platform":
        return
    platform = model.config.platform
    if not platform and not model.whole:
        return
    if not platform:
        yield Hit(
            "config.pbtxt names a model file and no backend; Triton does not tell a backend from that name.",
            'Add `backend: "..."`, or name the file as the backend does (model.onnx, model.pt, model.py).',
            "default_model_filename",
        )
        return
    by_backend = {backend: name for name, backend in PLATFORMS.items()}
    aliases = {"onnx": "onnxruntime_onnx", "torchscript": "pytorch_libtorch", "libtorch": "pytorch_libtorch"}
    near = by_backend.get(platform) or aliases.get(platform)
    near = near or next(iter(difflib.get_close_matches(platform, PLATFORMS, n=1, cutoff=0.5)), None)
    if platform in facts.backends and platform not in by_backend:
        fix = f'Write `backend: "{platform}"`: this one has no platform name.'
    else:
        fix = f'Write `platform: "{near}"`.' if near else 'Write `backend: "..."` in its place.'
    yield Hit(f"No platform is called `{platform}`.", fix, "platform")


def _own_library(model: Model) -> bool:
    """A backend may lie in the model's own folders, as a library or as a model.py."""
    name = f"libtriton_{model.backend.name}.so"
    places = [model.folder, *(model.folder / v for v in model.versions.numbers.values())]
    return any((p / name).is_file() for p in places)


@rule("unknown-backend", ERROR, "A backend that this server does not have.", group=GROUP, whole=False)
def unknown_backend(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `unable to find backend library for backend 'x'`."""
    name = model.backend.name
    if not name or model.ensemble or name in facts.backends or _own_library(model):
        return
    if model.backend.guessed and not model.whole:
        return
    near = difflib.get_close_matches(name, sorted(facts.backends), n=1, cutoff=0.6)
    has = ", ".join(sorted(facts.backends))
    real = name in (*PLATFORMS.values(), "openvino", "dali", "vllm", "tensorrtllm", "fil", "identity")
    if near and not real:
        fix = f'Write `backend: "{near[0]}"`.'
    else:
        fix = f"Serve it where that backend is installed, or export the model for one of: {has}."
    source = "platform" if model.config.platform and not model.config.backend else "backend"
    by_name = " (Triton takes it from the model's name)" if model.backend.guessed else ""
    yield Hit(f"This server has no backend `{name}`{by_name}; it has {has}.", fix, source)


@rule(
    "platform-ignored",
    WARNING,
    "`platform` and `backend` disagree: Triton follows `backend`.",
    group=GROUP,
    whole=False,
)
def platform_ignored(model: Model, facts: ServerFacts) -> Hits:
    """Tried: `platform: "onnxruntime_onnx" backend: "python"` is served by the python backend."""
    platform, backend = model.config.platform, model.config.backend
    if backend and PLATFORMS.get(platform, backend) != backend:
        yield Hit(
            f"`platform` says {PLATFORMS[platform]} and `backend` says {backend}: the platform is ignored.",
            "Leave one of the two out.",
            "platform",
        )


@rule("runtime-missing", ERROR, "`runtime` names a library that is nowhere.", group=GROUP)
def runtime_missing(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `unable to find backend library 'x.so' for model ...`."""
    runtime = model.config.runtime
    name = model.backend.name
    known = {f"libtriton_{name}.so"} if not model.in_python else {"model.py"}
    if name == "python":
        known.add("model.py")
    places = [model.folder, *(model.folder / v for v in model.versions.numbers.values())]
    judged = bool(runtime) and facts.local and name in facts.backends and runtime not in known
    if judged and not any((p / runtime).is_file() for p in places):
        yield Hit(f"There is no backend library `{runtime}`.", "Leave `runtime` out.", "runtime")


@functools.cache
def _names(file: str, variable: str) -> tuple[str, ...]:
    """A tuple of names out of a backend's source, which cannot be imported here."""
    path = Path(lab_utils.__file__).parent / "backends" / file
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == variable:
            return tuple(ast.literal_eval(node.value))
    raise LookupError(f"{file} has no {variable}")


def known_parameters(backend: str) -> tuple[str, ...]:
    """The parameters that one of the course's Python-based backends takes."""
    return _names(f"{backend}/model.py", "PARAMETERS") + _names("lab_backend.py", "TRITON_PARAMETERS")


@rule("unknown-parameter", ERROR, "A parameter that the backend does not have.", group=GROUP, whole=False)
def unknown_parameter(model: Model, facts: ServerFacts) -> Hits:
    """The course's onnxruntime and pytorch backends refuse it; the C++ ones ignore it."""
    if not model.in_python:
        return
    known = known_parameters(model.backend.name)
    folded = {n.lower(): n for n in known}
    for key in model.config.parameters:
        if key not in known:
            near = difflib.get_close_matches(key.lower(), folded, n=1, cutoff=0.5)
            fix = f"Did you mean `{folded[near[0]]}`?" if near else f"It has: {', '.join(known)}."
            yield Hit(
                f"The {model.backend.name} backend has no parameter `{key}`.", fix, f"parameters[{key}]"
            )


_YES_NO = ("true", "false", "1", "0")
_FLAGS = ("enable_mem_arena", "enable_mem_pattern", "share_session_between_instances", "INFERENCE_MODE")


@rule(
    "parameter-value",
    ERROR,
    "A parameter with a value that the backend does not take.",
    group=GROUP,
    whole=False,
)
def parameter_value(model: Model, facts: ServerFacts) -> Hits:
    """Threads are whole numbers, switches are true or false; paths must be there."""
    values = {key: value.string_value for key, value in model.config.parameters.items()}
    for key, text in values.items():
        problem = ""
        if model.in_python and key in known_parameters(model.backend.name):
            if key.endswith(("thread_count", "THREAD_COUNT")) and not text.strip().lstrip("-").isdigit():
                problem = "must be a whole number"
            elif key == "execution_mode" and text.strip() not in ("0", "1"):
                problem = "must be 0 (sequential) or 1 (parallel)"
            elif (
                key in _FLAGS or key.startswith(("ENABLE_", "DISABLE_"))
            ) and text.strip().lower() not in _YES_NO:
                problem = "must be true or false"
        if (
            model.backend.name == "python"
            and key == "FORCE_CPU_ONLY_INPUT_TENSORS"
            and text not in ("yes", "no")
        ):
            problem = "must be yes or no"
        if key in ("EXECUTION_ENV_PATH", "TRITON_BATCH_STRATEGY_PATH") and (facts.local or "$$" in text):
            path = text.replace("$$TRITON_MODEL_DIRECTORY", str(model.folder))
            if (key[0] == "T" or model.backend.name == "python") and not Path(path).exists():
                problem = "names a file that is not there"
        if problem:
            yield Hit(
                f"The parameter `{key}` {problem}: `{text}`.", "Correct the value.", f"parameters[{key}]"
            )


@rule(
    "unknown-agent",
    ERROR,
    "A model repository agent that this server does not have.",
    group=GROUP,
    whole=False,
)
def unknown_agent(model: Model, facts: ServerFacts) -> Hits:
    """The embedded server has none; the container has `checksum`."""
    for index, agent in enumerate(model.config.model_repository_agents.agents):
        if facts.local:
            yield Hit(
                f"This server has no repository agent `{agent.name}`.",
                "Take `model_repository_agents` out.",
                f"model_repository_agents.agents[{index}]",
            )


@rule("accelerator", ERROR, "An execution accelerator that this server cannot use.", group=GROUP)
def accelerator(model: Model, facts: ServerFacts) -> Hits:
    """TensorRT and CUDA need a GPU, OpenVINO a build of ONNX Runtime that has it."""
    if not (model.in_python and model.backend.name == "onnxruntime"):
        return
    accelerators = model.config.optimization.execution_accelerators
    gpu = any(g.kind == 1 for g in model.config.instance_group)
    for side, known in (("gpu", ("tensorrt", "cuda")), ("cpu", ("openvino",))):
        for index, entry in enumerate(getattr(accelerators, f"{side}_execution_accelerator")):
            where = f"optimization.execution_accelerators.{side}_execution_accelerator[{index}]"
            if entry.name not in known:
                yield Hit(
                    f"There is no {side} accelerator `{entry.name}`.",
                    f"There are: {', '.join(known)}.",
                    where,
                )
            elif side == "gpu" and not gpu:
                yield Hit(
                    f"The accelerator `{entry.name}` needs an instance on a GPU.",
                    "Take it out, or use `KIND_GPU` on a machine with a GPU.",
                    where,
                )
            elif side == "cpu" and facts.local and not _has_provider("OpenVINOExecutionProvider"):
                yield Hit("The installed ONNX Runtime has no OpenVINO.", "Take the accelerator out.", where)


def _has_provider(name: str) -> bool:
    import onnxruntime

    return name in onnxruntime.get_available_providers()
