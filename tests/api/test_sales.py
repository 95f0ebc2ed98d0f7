"""Direct sales over a real socket, through the whole server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.builders import SGC, TARIFF, VENDING_KEY, a_meter
from tests.database import Database
from vending import config, server
from vending.clock import system_clock
from vending.config import Config
from vending.meters import directory
from vending.postgres.pool import Connection
from vending.tariffs import catalogue
from vending.tokens.keys import Description, KeyStore

SECRET = "a till's own secret"


def _settings(database: Database, folder: Path) -> Config:
    store = KeyStore(folder / "keys")
    key = Description(sgc=SGC, krn=1, key_type=2, dkga="04", base_date="14", ken=255)
    store.add(key, bytearray.fromhex(VENDING_KEY), passphrase="x")
    return config.read(
        None,
        {
            "STIMA_DATABASE__DSN": database.dsn,
            "STIMA_SERVER__PORT": "0",
            "STIMA_SALES__SECRET": SECRET,
            "STIMA_SALES__ALLOWED_ADDRESSES": "127.0.0.1",
            "STIMA_KEYS__STORE": str(store.path),
            "STIMA_KEYS__PASSPHRASE": "x",
            "STIMA_SMS__FILE": str(folder / "sms"),
            "STIMA_INTAKE__SPOOL_DIR": str(folder / "spool"),
        },
    )


class Till:
    """Asks for sales."""

    def __init__(self, url: str, client: aiohttp.ClientSession, meter: str) -> None:
        self.url = url
        self.client = client
        self.meter = meter

    async def sell(self, *, secret: str = SECRET, **facts: Any) -> tuple[int, dict[str, Any]]:
        asked = {"reference": "till-1", "meter": self.meter, "amount_minor": 50_000} | facts
        headers = {"Authorization": f"Bearer {secret}"}
        async with self.client.post(
            f"{self.url}/internal/sales", json=asked, headers=headers
        ) as answer:
            return answer.status, msgspec.json.decode(await answer.read())


@pytest.fixture
async def till(database: Database, db: Connection, tmp_path: Path) -> AsyncIterator[Till]:
    for text in catalogue.shipped().values():
        await catalogue.load(db, text, now=system_clock())
    meter = a_meter()
    assert meter.tariff == TARIFF
    await directory.register(db, meter, now=system_clock())
    async with (
        server.running(_settings(database, tmp_path)) as running,
        aiohttp.ClientSession() as client,
    ):
        till = Till(running.url, client, meter.meter_number)
        while (told := await till.sell(reference="probe", meter="1"))[0] == 503:
            await asyncio.sleep(0.01)
        assert told[0] == 422
        yield till


async def test_a_sale_is_answered_with_its_token(till: Till, db: Connection) -> None:
    status, sold = await till.sell()
    assert status == 201
    assert sold["token"] == await db.fetchval("select token from outcome")
    assert sum(minor for _, minor in sold["lines"]) == 50_000


async def test_the_same_reference_gets_the_same_token(till: Till) -> None:
    assert await till.sell() == await till.sell()


async def test_a_reference_is_good_for_one_sale_only(till: Till) -> None:
    await till.sell()
    status, problem = await till.sell(amount_minor=60_000)
    assert (status, problem["code"]) == (409, "notice_conflicts")


async def test_a_refused_sale_stores_nothing_and_its_reference_may_be_used(till: Till) -> None:
    status, problem = await till.sell(meter="12345")
    assert (status, problem["code"]) == (422, "meter_number_malformed")
    assert problem["money_state"] == "none"
    status, _ = await till.sell()
    assert status == 201


@pytest.mark.parametrize(
    "facts",
    [
        {"amount_minor": 0},
        {"amount_minor": -5},
        {"amount_minor": 1.5},
        {"amount_minor": "500"},
        {"reference": ""},
        {"reference": "a b"},
        {"reference": "x" * 65},
        {"meter": ""},
        {"unknown": 1},
    ],
)
async def test_a_malformed_request_says_which_member(till: Till, facts: dict[str, Any]) -> None:
    status, problem = await till.sell(**facts)
    assert (status, problem["code"]) == (400, "sale_malformed")
    assert next(iter(facts)) in problem["detail"]


async def test_a_wrong_secret_finds_nothing_here(till: Till) -> None:
    status, problem = await till.sell(secret="guess")
    assert (status, problem["code"]) == (404, "path_unknown")
