"""Two vendors who sell by the client while things get lost and the server is killed twice."""

import asyncio
import os
import random
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.api.v1.conftest import SECRET, a_deposit
from tests.client.between import Loss, between
from tests.commands.demo_process import DemoProcess, ran, served
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
from vending.client import ApiKey, AsyncClient, NotDone, Patience, Sale
from vending.clock import system_clock
from vending.ledger.journal import trial_balance
from vending.numbering import Numbers
from vending.postgres.pool import Connection
from vending.vendors import accounts, credentials, floats
from vending.vendors.credentials import Grant, Issued
from vending.vendors.seals import Seals

SERVER: Mapping[str, str] = {**PASSPHRASE, "STIMA_VENDORS__SECRET": SECRET}
VENDORS = ("acme", "bolt")
SALES = 120
"""Of each vendor."""
PRICE = 50_000
DEPOSIT = SALES * PRICE
TENDERS = 12

PATIENT = Patience(total=120, rest=0.05, rest_most=0.5)
HASTY = Patience(total=1.0, rest=0.05, rest_most=0.2)

pytestmark = pytest.mark.timeout(300)


async def sells(
    vendor: AsyncClient, places: "asyncio.Queue[int]", meter: str, *, chance: random.Random
) -> list[Sale]:
    """Sell what is in the queue, as a program that hangs up and forgets, but keeps references."""
    made = []
    while not places.empty():
        place = places.get_nowait()
        order = {"meter": meter, "amount_minor": PRICE + place % 3, "confirm": True}
        for _ in range(chance.randrange(3)):
            hasty = asyncio.create_task(vendor.sell(f"T{place}", patience=HASTY, **order))  # type: ignore[arg-type]
            done, _late = await asyncio.wait({hasty}, timeout=chance.random() / 10)
            hasty.cancel()
            await asyncio.wait({hasty})
            assert not done or isinstance(hasty.exception(), NotDone | None)
        made.append(await vendor.sell(f"T{place}", patience=PATIENT, **order))  # type: ignore[arg-type]
    return made


async def killed(running: DemoProcess) -> None:
    os.kill(running.process.pid, signal.SIGKILL)
    await running.process.wait()
    async with asyncio.timeout(30):
        while family(running.process.pid):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("workers", ["", "2"])
async def test_each_reference_is_one_token_whatever_happens(
    database: Database, office: Connection, seals: Seals, tmp_path: Path, workers: str
) -> None:
    chance = random.Random(20261122)
    keys = await _taken_on(office, seals)
    settings = settings_file(tmp_path, database=on(database))
    await seal_key(settings)
    await load_tariff(settings)
    meter = await import_a_meter(settings)
    options = ("--workers", workers) if workers else ()
    waiting: dict[str, asyncio.Queue[int]] = {vendor_id: asyncio.Queue() for vendor_id in VENDORS}
    for queue in waiting.values():
        for place in range(SALES):
            queue.put_nowait(place)

    async with between("http://127.0.0.1:1") as path:
        path.trouble.extend(_weather(chance))
        clients = {
            vendor_id: AsyncClient(path.url, ApiKey(issued.secret), chance=chance.random)
            for vendor_id, issued in keys.items()
        }
        selling = {
            vendor_id: [
                asyncio.create_task(sells(client, waiting[vendor_id], meter, chance=chance))
                for _ in range(TENDERS)
            ]
            for vendor_id, client in clients.items()
        }
        for left in (SALES * 3 // 4, SALES // 2):
            async with served(settings, SERVER, *options) as running:
                path.server = await url_of(running)
                async with asyncio.timeout(100):
                    while min(queue.qsize() for queue in waiting.values()) > left:
                        await asyncio.sleep(0.02)
                await killed(running)
        async with served(settings, SERVER, *options) as running:
            path.server = await url_of(running)
            tokens = {
                vendor_id: {
                    sale.reference: sale.token
                    for made in await asyncio.gather(*tasks)
                    for sale in made
                }
                for vendor_id, tasks in selling.items()
            }
            path.trouble.clear()
            for vendor_id, client in clients.items():
                await _agrees(client, tokens[vendor_id])
                await client.close()
    assert len({token for sold in tokens.values() for token in sold.values()}) == 2 * SALES
    took = sum(PRICE + place % 3 for place in range(SALES))
    for vendor_id in VENDORS:
        held = await floats.find(office, vendor_id)
        assert held.balance_minor == 2 * DEPOSIT - took
        assert (await trial_balance(office))[f"float:{vendor_id}"] == -held.balance_minor
    code, told = await ran("audit", "--config", settings, "--older-than", "0", environment=SERVER)
    assert code == 0, told


async def _taken_on(office: Connection, seals: Seals) -> dict[str, Issued]:
    """Take both vendors on, with a key each and more than enough money."""
    now = SettableClock(system_clock())
    numbers = Numbers(now, node=200)
    keys = {}
    for vendor_id in VENDORS:
        await accounts.add(office, vendor_id, name=vendor_id, who="Jane", now=now())
        keys[vendor_id] = await credentials.issue_key(
            office, vendor_id, Grant(), seals=seals, who="Jane", now=now()
        )
        await a_deposit(
            office, vendor_id, next_number=numbers.next, clock=now, amount_minor=2 * DEPOSIT
        )
    return keys


async def _agrees(client: AsyncClient, tokens: dict[str, str]) -> None:
    """Every reference has the digits it was sold with, and the statement every sale once."""
    assert len(tokens) == SALES
    for reference, token in tokens.items():
        assert (await client.find(reference)).token == token
    lines = [line async for line in client.statement()]
    sold = [line.reference for line in lines if line.kind == "sale"]
    assert sorted(sold) == sorted(tokens)
    balance = (await client.read_float()).balance_minor
    assert sum(line.amount_minor for line in lines) == balance


def _weather(chance: random.Random) -> list[Loss | None]:
    return [chance.choice([Loss.ANSWER, Loss.REQUEST, None, None, None]) for _ in range(400)]
