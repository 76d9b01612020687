"""The command line `triton-lab`. Commands import what they need when they run, so `--help` is quick."""

from lab_utils.cli.main import app

__all__ = ["app"]
