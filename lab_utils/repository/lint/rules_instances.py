"""Rules about instance groups and the rate limiter."""

from __future__ import annotations

from lab_utils.repository.lint.facts import ServerFacts
from lab_utils.repository.lint.model import Model
from lab_utils.repository.lint.registry import ERROR, WARNING, Hit, Hits, rule

GROUP = "Instances"
AUTO, GPU, CPU, MODEL = range(4)  # ModelInstanceGroup.Kind
# Memory of one process of an instance, bytes (docs/backends.md); a floor, the model comes on top.
_PROCESS = {"python": 30_000_000, "onnxruntime": 46_000_000, "pytorch": 234_000_000}


@rule(
    "gpu-missing", ERROR, "`KIND_GPU` or `gpus` on a server that sees no such GPU.", group=GROUP, whole=False
)
def gpu_missing(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `instance group x of model y has kind KIND_GPU but no GPUs are available`."""
    if model.ensemble:
        return
    for index, group in enumerate(model.config.instance_group):
        where = f"instance_group[{index}]"
        if group.kind == GPU and not facts.gpus:
            yield Hit(
                "The instance group asks for a GPU and the server sees none.",
                "Write `kind: KIND_CPU`, or leave `kind` out: then Triton takes what is there.",
                f"{where}.kind",
            )
        elif group.kind == GPU and any(g < 0 or g >= facts.gpus for g in group.gpus):
            yield Hit(
                f"The server has GPUs 0 to {facts.gpus - 1}, and the group names {list(group.gpus)}.",
                "Correct `gpus`.",
                f"{where}.gpus",
            )
        elif group.gpus and (group.kind in (CPU, MODEL) or not facts.gpus):
            yield Hit(
                "The group lists `gpus` and is not of kind KIND_GPU"
                + ("; without a GPU the kind becomes KIND_CPU." if group.kind == AUTO else "."),
                "Leave `gpus` out, or write `kind: KIND_GPU` on a machine with a GPU.",
                f"{where}.gpus",
            )


@rule(
    "profile-tensorrt", ERROR, "`profile` in an instance group away from TensorRT.", group=GROUP, whole=False
)
def profile_tensorrt(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `specifies profile field which is only supported for TensorRT models`."""
    for index, group in enumerate(model.config.instance_group):
        if group.profile and model.backend.name not in ("tensorrt", ""):
            yield Hit(
                "`profile` is for TensorRT models alone.", "Leave it out.", f"instance_group[{index}].profile"
            )


@rule(
    "too-many-instances",
    WARNING,
    "More CPU instances than the cores or the memory can carry.",
    group=GROUP,
    whole=False,
)
def too_many_instances(model: Model, facts: ServerFacts) -> Hits:
    """Each instance is a process of its own in the embedded server; beyond the cores they only share them."""
    groups = list(model.config.instance_group)
    total = sum(
        max(1, g.count) for g in groups if g.kind in (CPU, AUTO) and not (g.kind == AUTO and facts.gpus)
    )
    need = (
        total * _PROCESS.get(model.backend.name, 0)
        if model.in_python or model.backend.name == "python"
        else 0
    )
    where = max(range(len(groups)), key=lambda i: groups[i].count) if groups else 0
    if need > facts.memory:
        yield Hit(
            f"{total} instances need at least {need / 1e9:.0f} GB; this machine has "
            f"{facts.memory / 1e9:.0f} GB.",
            "Lower `count`.",
            f"instance_group[{where}].count",
        )
    elif total > max(8, 2 * facts.cores):
        yield Hit(
            f"{total} CPU instances on {facts.cores} cores: they take turns, and each takes memory.",
            f"Start with `count: {max(1, facts.cores // 2)}` and measure.",
            f"instance_group[{where}].count",
        )


@rule(
    "count-odd",
    WARNING,
    "An instance `count` of 0 or less: Triton makes one instance.",
    group=GROUP,
    whole=False,
)
def count_odd(model: Model, facts: ServerFacts) -> Hits:
    """Tried: `count: 0` and `count: -1` both give one instance."""
    for index, group in enumerate(model.config.instance_group):
        if group.count < 0 or (group.count == 0 and model.written(f"instance_group[{index}].count")):
            yield Hit(
                f"`count: {group.count}` does not switch the group off: Triton makes one instance.",
                "Write the number that is meant; to serve none, do not load the model.",
                f"instance_group[{index}].count",
            )


@rule(
    "only-passive",
    WARNING,
    "All instance groups are passive: the first request ends the server.",
    group=GROUP,
    whole=False,
)
def only_passive(model: Model, facts: ServerFacts) -> Hits:
    """Tried: READY; one request, and tritonserver is gone."""
    groups = model.config.instance_group
    if groups and all(g.passive for g in groups):
        yield Hit(
            "Every instance is passive, so nothing can run a request; the first one ends tritonserver.",
            "Take `passive: true` out of at least one group.",
            "instance_group[0].passive",
        )


@rule(
    "rate-limit-off",
    WARNING,
    "Rate limiter resources on a server without `--rate-limit`.",
    group=GROUP,
    whole=False,
)
def rate_limit_off(model: Model, facts: ServerFacts) -> Hits:
    """Tried: READY, and the resources limit nothing."""
    for index, group in enumerate(model.config.instance_group):
        limiter = group.rate_limiter
        if (limiter.resources or limiter.priority) and not facts.rate_limit:
            yield Hit(
                "The rate limiter of the server is off: `rate_limiter` does nothing.",
                "Start the server with `--rate-limit=execution_count`.",
                f"instance_group[{index}].rate_limiter",
            )
