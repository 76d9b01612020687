"""Errors about the files of a model repository."""

from __future__ import annotations

from lab_utils.errors import LabError


class RepositoryError(LabError):
    """A file or folder of a model repository cannot be read, or is not what it must be."""


class ConfigError(RepositoryError):
    """Triton does not read this config.pbtxt.

    Args:
        what: The fault and its place in words.
        line: Line, from 1. 0 when the file as a whole is at fault.
        column: Column in characters, from 1, of the word that is wrong.
        field: The field it is about, as a path: `input[0].dtype`. Empty when there is none.
        nearest: The name that is probably meant; None when none is near.
        problem: `unknown_field`, `newer_field`, `unknown_value`, `wrong_type`, `out_of_range`,
            `duplicate_field`, `two_of_one`, `unclosed`, `syntax`, or `encoding`.
        log_line: What tritonserver writes into its log for it, from the line number on:
            `2:14: Message type "inference.ModelConfig" has no field named "max_batchsize".`
        why: See `LabError`.
        fix: See `LabError`.
        details: See `LabError`.
    """

    def __init__(
        self,
        what: str,
        *,
        line: int,
        column: int,
        field: str = "",
        nearest: str | None = None,
        problem: str = "syntax",
        log_line: str = "",
        why: str = "",
        fix: str = "",
        details: str = "",
    ) -> None:
        super().__init__(what, why=why, fix=fix, details=details)
        self.line = line
        self.column = column
        self.field = field
        self.nearest = nearest
        self.problem = problem
        self.log_line = log_line
