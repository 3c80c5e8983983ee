"""One dataset for all that only read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.export.finished import saved


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset of rows of every sort."""
    return saved(tmp_path_factory.mktemp("finished") / "dataset")
