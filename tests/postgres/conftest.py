"""A durable cluster of one's own, for the tests that mistreat it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.database import cluster_directory
from vending.postgres.embedded import EmbeddedSettings


@pytest.fixture
def directory() -> Iterator[Path]:
    """Make a short directory that PostgreSQL's account can enter."""
    with cluster_directory() as made:
        yield made


@pytest.fixture
def settings(directory: Path) -> EmbeddedSettings:
    """Ask for a small cluster with durability on, its copies kept inside the directory."""
    return EmbeddedSettings(
        data_dir=directory / "data", system_home=directory / "home", shared_buffers_mb=32
    )
