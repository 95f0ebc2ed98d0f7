"""Twenty tills, one of which asks a hundred times as much: the others are served as if it did not.

The database is made slow, so that there is something to divide on any machine: it takes fewer than
200 outcomes a second, and is asked for many times that, however slow the tills' own machine is.
"""

import asyncio
import shutil
import zlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.database import Database
from tests.journeys import outages
from tests.journeys import world as worlds
from tests.journeys.world import World
from vending import config
from vending.simulation.operator import Answer

SECRET = "every till's own secret"
HONEST = 19
SALES_EACH = 15
EVERY_SECONDS = 0.2
"""An honest till asks five times a second: it has a right to eight or so."""

TIMES = 100
"""The other one does as if it were so many."""

GREEDY_EVERY_SECONDS = 0.05
"""And each of them in a hurry: so that it asks for more than there is on a machine that is busy."""

SLOWLY = """
alter table outcome add constraint slowly check (pg_sleep(0.005)::text is not null)
"""

READ_TOKENS = """
select p.transaction_id, o.token
  from payment p join outcome o using (payment_id)
 where p.operator = 'internal'
"""


@pytest.fixture
async def world(tmp_path: Path, sealed_keys: Path, database: Database) -> AsyncIterator[World]:
    shutil.copytree(sealed_keys, tmp_path, dirs_exist_ok=True)
    sales = config.Sales(secret=SECRET, allowed_addresses=["127.0.0.0/24"])
    async with worlds.running(tmp_path, database, validates=False, sales=sales) as world:
        yield world


@dataclass(slots=True)
class Till:
    """Sells from an address of its own, and keeps what it was told."""

    world: World
    session: aiohttp.ClientSession
    name: str
    heard: Counter[int] = field(default_factory=Counter)
    sold: dict[str, str] = field(default_factory=dict)
    unkind: int = 0
    """Refusals that did not say when to come back."""

    _numbers: "count[int]" = field(default_factory=count)

    async def sell(self, reference: str | None = None) -> int:
        """Ask for a sale, and return the seconds after which to ask again; 0 when it is made."""
        reference = reference or f"{self.name}-{next(self._numbers)}"
        homes = [home for home in self.world.homes if home.tariff == "KE-DC"]
        asked = {
            "reference": reference,
            "meter": homes[zlib.crc32(reference.encode()) % len(homes)].meter_number,
            "amount_minor": 300_00,
        }
        async with self.session.post(
            f"{self.world.server.url}/internal/sales",
            data=msgspec.json.encode(asked),
            headers={"Authorization": f"Bearer {SECRET}"},
        ) as answer:
            self.heard[answer.status] += 1
            told: dict[str, Any] = msgspec.json.decode(await answer.read())
            if answer.status == 201:
                self.sold[reference] = told["token"]
                return 0
            after = int(answer.headers.get("Retry-After", "0"))
            self.unkind += not (after and told["retry"])
            return after


def _session(address: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(address, 0), limit=0))


async def _steady(till: Till) -> None:
    """Sell so often, at an even pace; a sale that is refused is asked for again when it may be."""
    for number in range(SALES_EACH):
        while after := await till.sell(f"{till.name}-{number}"):
            await asyncio.sleep(after)
        await asyncio.sleep(EVERY_SECONDS)


async def _greedy(till: Till, enough: asyncio.Event) -> None:
    """Ask again and again, whatever one is told."""
    while not enough.is_set():
        await till.sell()
        await asyncio.sleep(GREEDY_EVERY_SECONDS)


async def _paying(world: World, enough: asyncio.Event) -> list[Answer]:
    """Pay through the operator at an even pace, and return what it was answered."""
    answers = []
    while not enough.is_set():
        payment = world.operator.take(world.home().meter_number, 300_00)
        answers.append(await world.operator.confirm(payment))
        await asyncio.sleep(EVERY_SECONDS)
    return answers


async def test_one_till_that_asks_for_everything_gets_its_share_and_spoils_nobodys(
    world: World,
) -> None:
    async with _tills(world) as (greedy, *honest):
        await _all_ask(world, greedy, honest)


@asynccontextmanager
async def _tills(world: World) -> AsyncIterator[list[Till]]:
    """Yield the greedy till and the honest ones.

    The greedy one comes from the operator's own address: what is paid there is never refused.
    """
    async with AsyncExitStack() as open_ones:
        tills = [
            Till(world, await open_ones.enter_async_context(_session(f"127.0.0.{n}")), f"till-{n}")
            for n in range(1, HONEST + 2)
        ]
        yield tills


async def _all_ask(world: World, greedy: Till, honest: list[Till]) -> None:
    await world.owner_does(SLOWLY)
    enough = asyncio.Event()
    async with asyncio.TaskGroup() as flood:
        for _ in range(TIMES):
            flood.create_task(_greedy(greedy, enough))
        paying = flood.create_task(_paying(world, enough))
        async with asyncio.TaskGroup() as steady:
            for till in honest:
                steady.create_task(_steady(till))
        enough.set()
    _judge(greedy, honest)
    assert all(answer.ok for answer in paying.result())
    await world.owner_does("alter table outcome drop constraint slowly")
    await _every_answer_stands(world, [greedy, *honest])
    outages.every_call_has_its_answer(world)
    await outages.all_is_well(world)


def _judge(greedy: Till, honest: list[Till]) -> None:
    assert all(len(till.sold) == SALES_EACH for till in honest)
    # Nobody else is told that it asks for too much. All are put off when the greedy one, alone
    # until then, has filled the queue; after that they hardly are.
    assert sum(till.heard[429] for till in honest) == 0
    assert sum(till.heard[503] for till in honest) < HONEST * SALES_EACH // 4
    assert len(greedy.sold) >= SALES_EACH
    assert greedy.heard[429] >= SALES_EACH
    assert greedy.heard[429] + greedy.heard[503] > len(greedy.sold)
    assert sum(till.unkind for till in (greedy, *honest)) == 0
    assert set(greedy.heard) <= {201, 429, 503}


async def _every_answer_stands(world: World, tills: list[Till]) -> None:
    """See that each sale is in the books once, as answered, and is answered so again."""
    stored = {row["transaction_id"]: row["token"] for row in await world.rows(READ_TOKENS)}
    tokens = [token for till in tills for token in till.sold.values()]
    assert len(set(tokens)) == len(tokens)
    for till in tills:
        assert till.sold.items() <= stored.items()
        asked_again = list(till.sold)[:3]
        before = dict(till.sold)
        for reference in asked_again:
            while after := await till.sell(reference):
                await asyncio.sleep(after)
        assert till.sold == before
