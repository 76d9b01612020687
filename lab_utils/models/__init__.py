"""The small real models that the labs serve, built here and never downloaded."""

from lab_utils.models.build import version_file

__all__ = ["version_file"]
