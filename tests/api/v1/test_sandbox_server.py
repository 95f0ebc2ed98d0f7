"""`vending serve --sandbox`: test keys sell, and nothing else is there."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.api.v1.conftest import SECRET, a_vendor
from tests.builders import a_payment
from tests.commands.demo_process import VENDING, ended, ran, served
from tests.commands.offices import SECRET as CALLBACK_SECRET
from tests.commands.offices import health, on, settings_file, url_of
from tests.conftest import SettableClock
from tests.database import Database
from vending import sandbox_server
from vending.answers import SaleUnavailable
from vending.clock import system_clock
from vending.payments.inbox import InboxUnavailable
from vending.postgres.pool import Connection
from vending.vendors import credentials
from vending.vendors.credentials import Grant
from vending.vendors.seals import Seals

ROOT = Path(__file__).parents[3]
SERVER = {"STIMA_VENDORS__SECRET": SECRET}
SALE = {"reference": "my-first", "meter": "01000000008", "amount_minor": 50_000}


@asynccontextmanager
async def calling(key: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
        yield session


async def test_a_sandbox_sells_to_test_keys_and_knows_nothing_live(
    database: Database, db: Connection, office: Connection, seals: Seals, tmp_path: Path
) -> None:
    clock = SettableClock(system_clock())
    live = await a_vendor(office, "acme", seals=seals, clock=clock)
    test = await credentials.issue_key(
        office, "acme", Grant(sandbox=True), seals=seals, who="Jane", now=clock()
    )
    settings = settings_file(tmp_path, database=on(database))
    async with served(settings, SERVER, "--sandbox") as running:
        url = await url_of(running)
        assert (await health(url))[0] == 200
        async with calling(test.secret) as developer:
            async with developer.post(f"{url}/v1/sales", json=SALE) as made:
                told = await made.json()
            assert (made.status, told["sandbox"], len(told["token"])) == (201, True, 20)
            async with developer.get(f"{url}/v1/float") as refused:
                assert (await refused.json(content_type=None))["code"] == "sandbox_only"
        async with calling(live.secret) as seller:
            async with seller.post(f"{url}/v1/sales", json=SALE) as refused:
                assert refused.status == 403
                assert (await refused.json(content_type=None))["code"] == "sandbox_server"
            for path in (
                f"/op/saf/{CALLBACK_SECRET}/v2/confirmation", "/internal/sales", "/xmlvend", "/ussd"
            ):  # fmt: skip
                async with seller.post(url + path, json={}) as nowhere:
                    assert nowhere.status == 404, path
        code, left = await running.interrupt()
    assert (code, left) == (0, [])
    assert await db.fetchval("select count(*) from payment") == 0
    assert await db.fetchval("select count(*) from sequencer_lease") == 0
    assert not (tmp_path / "spool").exists()


async def test_a_sandbox_on_a_terminal_prints_the_commands_that_lead_to_a_token(
    database: Database, tmp_path: Path
) -> None:
    settings = settings_file(tmp_path, database=on(database))
    master, screen = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *VENDING, "serve", "--sandbox", "--config", str(settings),
        stdout=asyncio.subprocess.PIPE, stderr=screen, env={**os.environ, **SERVER},
    )  # fmt: skip
    os.close(screen)
    try:
        with os.fdopen(master, encoding="utf-8") as terminal:
            shown = ""
            while "sandbox.md" not in shown:
                shown += await asyncio.to_thread(terminal.readline)
        # The terminal is closed now: what the server logs of its refusals goes nowhere.
        typed = "".join(line for line in shown.splitlines(keepends=True) if line.startswith("  "))
        made, sale = typed.split("  curl ", 1)
        # A server that has just given out a key knows it within five seconds.
        shell = f"set -e\n{made}until curl -f {sale.rstrip()} 2>/dev/null; do :; done"
        code, told = await ended(("bash", "-c", shell), environment=SERVER, folder=ROOT)
        assert code == 0, told
        assert re.search(r'"token":"[0-9]{20}"', told)
    finally:
        process.terminate()
        await process.communicate()


async def test_a_sandbox_needs_the_secret_that_keys_are_known_by(
    database: Database, tmp_path: Path
) -> None:
    settings = settings_file(tmp_path, database=on(database))
    code, told = await ran("serve", "--config", settings, "--sandbox")
    assert code == 1
    assert "vendors_closed" in told


async def test_behind_the_other_doors_of_a_sandbox_there_is_nothing() -> None:
    nothing = sandbox_server.NoIntake(), sandbox_server.NoSequencer()
    with pytest.raises(InboxUnavailable):
        await nothing[0].store()
    with pytest.raises(InboxUnavailable):
        await nothing[0].quarantine()
    with pytest.raises(SaleUnavailable):
        await nothing[1].sell(a_payment())
    nothing[1].bump(1)
    assert not nothing[1].running
