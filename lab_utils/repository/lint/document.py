"""docs/lint-rules.md, written from the table of rules."""

from __future__ import annotations

from lab_utils.repository.lint import rules_all
from lab_utils.repository.lint.registry import RULES, Severity

__all__ = ["document", "rules_all"]

_GROUPS = (
    "The file config.pbtxt",
    "Folders and files",
    "Platform and backend",
    "Inputs and outputs",
    "Against the ONNX file",
    "Against the TorchScript file",
    "The Python model",
    "Batching, queue and cache",
    "Sequences",
    "Instances",
    "Warm-up",
    "Ensembles",
)
_HEAD = """# The rules of `triton-lab lint`

<!-- Written from the table of rules by `python -m lab_utils.repository.lint`. Do not edit it here. -->

`triton-lab lint DIR` (in a notebook: `lab.lint()`) reads a model repository, or one model, and says

- **error**: Triton refuses the model;
- **warning**: Triton takes it, and does not do what is meant.

Nothing is executed: configs are parsed as protobuf, ONNX files are opened, Python files are parsed. Each rule
was tried on tritonserver 2.51 (the table of cases: `tests/repository/cases/`), in the form in which the labs
run it: the backends `onnxruntime` and `pytorch` are the course's own (see [backends.md](backends.md)), there
is no GPU, no cache and no rate limiter. `triton-lab lint DIR --server NAME` takes these
facts from a running server.
"""


def document() -> str:
    """The whole page."""
    parts = [_HEAD]
    groups = {r.group for r in RULES.values()}
    if groups != set(_GROUPS):
        raise ValueError(f"groups of rules without a place in the page: {groups ^ set(_GROUPS)}")
    for group in _GROUPS:
        parts.append(f"## {group}\n\n| rule | severity | when |\n|---|---|---|")
        rules = [r for r in RULES.values() if r.group == group]
        rules.sort(key=lambda r: (r.severity is Severity.WARNING, r.id))
        parts.extend(f"| `{r.id}` | {r.severity.value} | {r.meaning} |" for r in rules)
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"
