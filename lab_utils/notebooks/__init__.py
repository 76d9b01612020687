"""Notebooks: written from one source per lab, copied for the student, executed in a fresh kernel."""
