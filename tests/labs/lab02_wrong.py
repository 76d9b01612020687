"""Plausible wrong answers to the exercises of Lab 2, each with words that its verdict must hold.

The code replaces one or more answers of the complete notebook; all other names stay as they are there.
"""

from __future__ import annotations

from tests.labs.lab02_wrong_batching import BATCHING
from tests.labs.lab02_wrong_cache import CACHE
from tests.labs.lab02_wrong_config import CONFIG
from tests.labs.lab02_wrong_control import CONTROL
from tests.labs.lab02_wrong_gallery import GALLERY
from tests.labs.lab02_wrong_layout import LAYOUT
from tests.labs.lab02_wrong_pipeline import PIPELINE
from tests.labs.lab02_wrong_queue import QUEUE
from tests.labs.lab02_wrong_sequence import SEQUENCE
from tests.labs.lab02_wrong_shapes import SHAPES
from tests.labs.lab02_wrong_versions import EQUIVALENT_VERSIONS, VERSIONS
from tests.proofs.kit.wrong import WrongAnswer

WRONG: dict[str, list[WrongAnswer]] = (
    LAYOUT | CONFIG | SHAPES | VERSIONS | CONTROL | BATCHING | QUEUE | CACHE | PIPELINE | SEQUENCE | GALLERY
)

EQUIVALENT_MUTANTS: dict[str, str] = {**EQUIVALENT_VERSIONS}
