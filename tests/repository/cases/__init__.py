"""Broken (and some sound) model repositories, each with what Triton, lint and explain must say about it.

A file of this folder that defines `CASES`, a list of `Case`, is found by itself.
"""
