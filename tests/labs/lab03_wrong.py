"""Plausible wrong answers to the exercises of Lab 3, each with words that its verdict must hold.

The code replaces one or more answers of the complete notebook; all other names stay as they are there.
"""

from __future__ import annotations

from tests.labs.lab03_wrong_continuous import CONTINUOUS
from tests.labs.lab03_wrong_equivalence import EQUIVALENCE
from tests.labs.lab03_wrong_export import EQUIVALENT_EXPORT, EXPORT, PROGRAM
from tests.labs.lab03_wrong_figures import FIGURES
from tests.labs.lab03_wrong_files import FILES
from tests.labs.lab03_wrong_freeze import FREEZE
from tests.labs.lab03_wrong_llama import LLAMA
from tests.labs.lab03_wrong_loop import LOOP
from tests.labs.lab03_wrong_memory import MEMORY
from tests.labs.lab03_wrong_slo import EQUIVALENT_SLO, SLO
from tests.labs.lab03_wrong_stream import STREAM
from tests.labs.lab03_wrong_tuning import TUNING
from tests.proofs.kit.wrong import WrongAnswer

WRONG: dict[str, list[WrongAnswer]] = (
    EXPORT
    | FILES
    | EQUIVALENCE
    | FREEZE
    | PROGRAM
    | TUNING
    | LLAMA
    | LOOP
    | MEMORY
    | CONTINUOUS
    | STREAM
    | FIGURES
    | SLO
)

EQUIVALENT_MUTANTS: dict[str, str] = {**EQUIVALENT_EXPORT, **EQUIVALENT_SLO}
