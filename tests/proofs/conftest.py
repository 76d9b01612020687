"""The labs to be proven, each with one real server for all its proofs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.proofs.kit.labs import LabUnderTest, discover
from tests.proofs.kit.world import World

LABS = discover()


@pytest.fixture(scope="package")
def worlds(private_folders: object) -> Iterator[dict[str, World]]:
    """One world per lab, made when it is first asked for; all servers are stopped at the end."""
    made: dict[str, World] = {}
    yield made
    for world in made.values():
        world.stop()


def world_of(under: LabUnderTest, worlds: dict[str, World]) -> World:
    """The lab's world, made once."""
    if under.spec.number not in worlds:
        worlds[under.spec.number] = World(under)
    return worlds[under.spec.number]
