"""Grading: one command that executes every submission again, confined, and says why each grade is so."""
