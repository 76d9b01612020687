"""A generation engine: many answers at once from one Llama, with continuous batching."""

from lab_utils.llama.engine.engine import Engine
from lab_utils.llama.engine.errors import EngineError, RequestRefused
from lab_utils.llama.engine.request import GenerationRequest, Output
from lab_utils.llama.engine.sequence import Handle
from lab_utils.llama.engine.stats import EngineStats

__all__ = [
    "Engine",
    "EngineError",
    "EngineStats",
    "GenerationRequest",
    "Handle",
    "Output",
    "RequestRefused",
]
