"""What tests of webhooks may ask for."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import SettableClock
from tests.webhooks import world as worlds
from tests.webhooks.receiver import Receiver, receiving
from tests.webhooks.world import World
from vending.postgres.pool import Connection


@pytest.fixture
async def world(db: Connection, clock: SettableClock) -> World:
    return await worlds.world(db, clock)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running
