"""Servers on a database of the test's own, and the outside world that judges them."""

import asyncio
import json
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from tests.commands.demo_process import DemoProcess
from tests.database import Database
from tests.torture import ground as grounds
from tests.torture import harness, verdict
from tests.torture.crowd import Crowd
from tests.torture.ground import SECRET, Ground
from tests.torture.verdict import Phones
from vending.clock import system_clock
from vending.simulation.history import History
from vending.simulation.meter import Street
from vending.simulation.operator import Line, Operator
from vending.simulation.pay_bill import PayerShown

TURN_SECONDS = 30
"""How long a change may take; the lease is two seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """A utility's directory, its database, and what the outside world knows of it."""

    ground: Ground
    db: asyncpg.Connection
    history: History
    phones: Phones

    @asynccontextmanager
    async def customers(self, url: str, *, seed: int) -> AsyncIterator[tuple[Operator, Crowd]]:
        """Give customers who pay at an address, and the operator that calls it."""
        line = Line(base_url=url, secret=SECRET, shown=PayerShown.CLEAR, answer_seconds=3)
        chance = random.Random(seed)
        async with Operator(
            line, history=self.history, clock=system_clock, randomness=chance
        ) as operator:
            yield operator, Crowd(operator, self.ground.homes, chance=chance)

    async def faults(self) -> list[str]:
        """Wait until nothing waits, and judge by the operator's history, the phones and meters."""
        await harness.settled(self.db, verdict.UNDECIDED, verdict.UNSENT)
        self.phones.read()
        told = verdict.told(self.history.events())
        return await verdict.judge(told, self.phones, self.db, clock=system_clock)


@asynccontextmanager
async def outside(
    database: Database, *, nodes: Sequence[int], more: str = ""
) -> AsyncIterator[Outside]:
    """Furnish a utility on a database; `more` goes into the [server] section of each node."""
    async with AsyncExitStack() as stack:
        ground = stack.enter_context(grounds.staked())
        for node in nodes:
            _write_settings(ground, database, node=node, more=more)
        shutil.copy(settings_file(ground, nodes[0]), ground.settings)
        await grounds.furnish(ground)
        street = Street(
            ground.home / "street.db", ground.homes, ring=ground.ring(), clock=system_clock
        )
        stack.enter_context(closing(street))
        db = await asyncpg.connect(database.owner_dsn)
        stack.push_async_callback(db.close)
        yield Outside(
            ground=ground,
            db=db,
            history=stack.enter_context(History(ground.home / "operator.jsonl")),
            phones=Phones(ground.home / "sms.jsonl", street),
        )


def settings_file(ground: Ground, node: int) -> Path:
    """Return the settings of a node."""
    return ground.home / f"stima{node}.toml"


async def url_of(running: DemoProcess) -> str:
    """Wait until a server listens and return its address."""
    url: str = json.loads(await running.line('"listening"'))["url"]
    return url


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(TURN_SECONDS):
        while not await holds():
            await asyncio.sleep(0.05)


def _write_settings(ground: Ground, database: Database, *, node: int, more: str) -> None:
    """Write a node's settings: a port, a number and a spool of its own."""
    dsn = f'dsn = "{database.dsn}"\nowner_dsn = "{database.owner_dsn}"'
    text = (
        ground.settings.read_text()
        .replace(f"port = {ground.port}", f"port = 0\nnode = {node}\n{more}")
        .replace(f'data_dir = "{ground.data_dir}"', dsn)
        .replace("shared_buffers_mb = 32\n", "")
        .replace(f"{ground.home}/spool", f"{ground.home}/spool{node}")
        .replace('level = "warning"', 'level = "info"')
    )
    settings_file(ground, node).write_text(text)
