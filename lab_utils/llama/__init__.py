"""Llama for serving: the model, its key/value cache, the small Llama of the course, where to find others."""

from lab_utils.llama.cache import KVCache
from lab_utils.llama.config import LlamaConfig, LlamaError, RopeScaling, read_config
from lab_utils.llama.memory import (
    Memory,
    draw_memory,
    kv_bytes_per_token,
    measure_memory,
    memory_table,
    predict_memory,
    weight_count,
)
from lab_utils.llama.model import Llama
from lab_utils.llama.script import scripted
from lab_utils.llama.small import facts, random_llama, small_llama
from lab_utils.llama.source import find_llama
from lab_utils.llama.weights import load_llama

__all__ = [
    "KVCache",
    "Llama",
    "LlamaConfig",
    "LlamaError",
    "Memory",
    "RopeScaling",
    "draw_memory",
    "facts",
    "find_llama",
    "kv_bytes_per_token",
    "load_llama",
    "measure_memory",
    "memory_table",
    "predict_memory",
    "random_llama",
    "read_config",
    "scripted",
    "small_llama",
    "weight_count",
]
