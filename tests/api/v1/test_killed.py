"""A whole server, with and without fronts, killed in the middle of vendors' sales."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.api.v1.conftest import SECRET, a_deposit
from tests.commands.demo_process import DemoProcess, served
from tests.commands.offices import (
    PASSPHRASE,
    import_a_meter,
    load_tariff,
    on,
    seal_key,
    settings_file,
    url_of,
)
from tests.conftest import SettableClock
from tests.database import Database
from tests.processes import family
from vending.clock import system_clock
from vending.ledger.journal import trial_balance
from vending.numbering import Numbers
from vending.postgres.pool import Connection
from vending.vendors import accounts, credentials, floats
from vending.vendors.credentials import Grant
from vending.vendors.seals import Seals

SERVER: Mapping[str, str] = {**PASSPHRASE, "STIMA_VENDORS__SECRET": SECRET}
SALES = 60
PRICE = 50_000

pytestmark = pytest.mark.timeout(300)


@asynccontextmanager
async def selling(
    settings: Path, workers: str, key: str
) -> AsyncIterator[tuple[DemoProcess, str, aiohttp.ClientSession]]:
    """Run a server and call it as the vendor, once it vends."""
    async with (
        served(settings, SERVER, *(("--workers", workers) if workers else ())) as running,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session,
    ):
        url = await url_of(running)
        async with asyncio.timeout(60):
            while True:
                async with session.get(f"{url}/health/ready") as answer:
                    if answer.status == 200:
                        break
                await asyncio.sleep(0.1)
        yield running, url, session


async def sold(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> dict[str, Any]:
    """Sell, asking again by the same reference for as long as there is no token."""
    async with asyncio.timeout(60):
        while True:
            async with session.post(
                f"{url}/v1/sales", json=body, headers={"Prefer": "wait=25"}
            ) as answer:
                told: dict[str, Any] = await answer.json(content_type=None)
            if answer.status in (200, 201):
                return told
            assert answer.status in (202, 429, 503), told
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("workers", ["", "2"])
async def test_a_server_killed_in_mid_sale_gives_the_same_digits_again(
    database: Database, office: Connection, seals: Seals, tmp_path: Path, workers: str
) -> None:
    now = SettableClock(system_clock())
    await accounts.add(office, "acme", name="Acme", who="Jane", now=now())
    issued = await credentials.issue_key(
        office, "acme", Grant(), seals=seals, who="Jane", now=now()
    )
    numbers = Numbers(now, node=200)
    await a_deposit(
        office, "acme", next_number=numbers.next, clock=now, amount_minor=2 * SALES * PRICE
    )
    settings = settings_file(tmp_path, database=on(database))
    await seal_key(settings)
    await load_tariff(settings)
    meter = await import_a_meter(settings)
    bodies = [
        {"reference": f"K{place}", "meter": meter, "amount_minor": PRICE, "confirm": True}
        for place in range(SALES)
    ]
    before: dict[str, str] = {}

    async with selling(settings, workers, issued.secret) as (running, url, session):

        async def tries(body: dict[str, Any]) -> None:
            told = await sold(session, url, body)
            before[told["reference"]] = told["token"]
            if len(before) == SALES // 4:
                os.kill(running.process.pid, signal.SIGKILL)

        ended = await asyncio.gather(*(tries(body) for body in bodies), return_exceptions=True)
        assert len(before) >= SALES // 4, ended
        await running.process.wait()
        async with asyncio.timeout(30):
            while family(running.process.pid):
                await asyncio.sleep(0.05)

    async with selling(settings, workers, issued.secret) as (_, url, session):
        after = {
            told["reference"]: told["token"]
            for told in await asyncio.gather(*(sold(session, url, body) for body in bodies))
        }
    assert len(set(after.values())) == SALES
    assert before.items() <= after.items()
    held = await floats.find(office, "acme")
    assert held.balance_minor == SALES * PRICE
    assert (await trial_balance(office))["float:acme"] == -held.balance_minor
