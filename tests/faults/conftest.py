"""The model that the fault tests serve."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.server.conftest import add_model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the one good model `double` (python backend, one stub)."""
    repository = tmp_path_factory.mktemp("models")
    add_model(repository, "double")
    return repository
