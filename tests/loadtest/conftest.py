"""A whole product to put under load."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.database import Database
from tests.journeys import world as worlds
from tests.journeys.world import World
from vending.commands import demo_utility


@pytest.fixture(scope="session")
def sealed_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a demo directory with secrets and keys: sealing them is meant to take long."""
    home = tmp_path_factory.mktemp("demo")
    demo_utility.make_keys(demo_utility.opened(home))
    return home


@pytest.fixture
async def world(tmp_path: Path, sealed_keys: Path, database: Database) -> AsyncIterator[World]:
    shutil.copytree(sealed_keys, tmp_path, dirs_exist_ok=True)
    async with worlds.running(tmp_path, database) as world:
        yield world
