"""Model repositories: configs as protobuf messages, the layout of folders, model files, and the lint."""

from lab_utils.repository.config import (
    ModelConfig,
    fault_behind,
    format_config,
    locate,
    locate_nearest,
    parse_config,
    read_config,
    read_text,
    served_config,
)
from lab_utils.repository.diff import Difference, diff_configs, draw_diff
from lab_utils.repository.errors import ConfigError, RepositoryError
from lab_utils.repository.files import backend_of, default_file, is_ensemble
from lab_utils.repository.kinds import FileKind, kind_of
from lab_utils.repository.layout import ModelFolder, OddEntry, Repository, version_number
from lab_utils.repository.signature import Signature, TensorSpec, read_signature
from lab_utils.repository.tree import draw_tree

__all__ = [
    "ConfigError",
    "Difference",
    "FileKind",
    "ModelConfig",
    "ModelFolder",
    "OddEntry",
    "Repository",
    "RepositoryError",
    "Signature",
    "TensorSpec",
    "backend_of",
    "default_file",
    "diff_configs",
    "draw_diff",
    "draw_tree",
    "fault_behind",
    "format_config",
    "is_ensemble",
    "kind_of",
    "locate",
    "locate_nearest",
    "parse_config",
    "read_config",
    "read_signature",
    "read_text",
    "served_config",
    "version_number",
]
