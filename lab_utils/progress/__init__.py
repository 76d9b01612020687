"""Checkpoints, their context and runner, the progress store and the panel."""
