"""`python -m lab_utils.cli`, for environments where the script `triton-lab` is not on PATH."""

from lab_utils.cli import app

app()
