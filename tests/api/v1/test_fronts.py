"""The vendors' API behind front processes: the core writes, and a revoked key ends on each."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.api.v1.conftest import SECRET
from tests.commands.demo_process import served
from tests.commands.offices import PASSPHRASE, on, settings_file, url_of
from tests.database import Database
from vending.clock import system_clock
from vending.postgres.pool import Connection
from vending.vendors import accounts, credentials
from vending.vendors.credentials import Grant
from vending.vendors.seals import Seals

SERVER: Mapping[str, str] = {
    **PASSPHRASE, "STIMA_VENDORS__SECRET": SECRET, "STIMA_WEBHOOKS__LOOPBACK": "true",
}  # fmt: skip
CONNECTIONS = 12
"""Each new one goes to whichever front is quicker: a dozen reach both."""


@pytest.mark.parametrize("workers", ["2"])
async def test_fronts_carry_what_is_written_to_the_core_and_know_who_was_revoked(
    database: Database, office: Connection, seals: Seals, tmp_path: Path, workers: str
) -> None:
    await accounts.add(office, "acme", name="Acme", who="Jane", now=system_clock())
    issued = await credentials.issue_key(
        office, "acme", Grant(), seals=seals, who="Jane", now=system_clock()
    )
    bearer = {"Authorization": f"Bearer {issued.secret}"}
    settings = settings_file(tmp_path, database=on(database))
    async with served(settings, SERVER, "--workers", workers) as running:
        url = await url_of(running)
        sessions = [aiohttp.ClientSession(headers=bearer) for _ in range(CONNECTIONS)]
        try:
            made = await asyncio.gather(
                *(
                    asked(session, "POST", f"{url}/v1/batches", {"outlet": f"o{number}"})
                    for number, session in enumerate(sessions)
                )
            )
            assert [status for status, _ in made] == [201] * CONNECTIONS
            names = [told["batch"] for _, told in made]
            assert len(set(names)) == CONNECTIONS
            again = await asked(sessions[0], "POST", f"{url}/v1/batches", {"outlet": "o1"})
            assert (again[0], again[1]["code"]) == (409, "shift_open")
            hook = {"url": "https://till.example.com/hook"}
            status, keyed = await asked(sessions[1], "POST", f"{url}/v1/webhooks", hook)
            assert (status, keyed["keys"][0]["key"][:6]) == (201, "whsec_")
            listed = await asked(sessions[2], "GET", f"{url}/v1/batches")
            assert {one["batch"] for one in listed[1]["batches"]} == set(names)

            await credentials.revoke(
                office, "acme", issued.credential.name, who="Jane", now=system_clock()
            )
            async with asyncio.timeout(5):
                while {
                    (await asked(session, "GET", f"{url}/v1/float"))[0] for session in sessions
                } != {401}:
                    await asyncio.sleep(0.05)
        finally:
            for session in sessions:
                await session.close()
        running.process.terminate()
        assert await running.process.wait() == 0


async def test_fronts_ask_their_core_for_all_that_the_sandbox_remembers(
    database: Database, office: Connection, seals: Seals, tmp_path: Path
) -> None:
    await accounts.add(office, "acme", name="Acme", who="Jane", now=system_clock())
    issued = await credentials.issue_key(
        office, "acme", Grant(sandbox=True), seals=seals, who="Jane", now=system_clock()
    )
    bearer = {"Authorization": f"Bearer {issued.secret}"}
    settings = settings_file(tmp_path, database=on(database))
    async with served(settings, SERVER, "--workers", "2") as running:
        url = await url_of(running)
        sessions = [aiohttp.ClientSession(headers=bearer) for _ in range(CONNECTIONS)]
        try:
            wanted = {"meter": "01000000008", "amount_minor": 50_000}
            status, quoted = await asked(sessions[0], "POST", f"{url}/v1/quotes", wanted)
            assert status == 201
            place = f"{url}/v1/quotes/{quoted['quote']}"
            seen = await asyncio.gather(*(asked(one, "GET", place) for one in sessions))
            assert seen == [(200, quoted)] * CONNECTIONS
            lost = {"reference": "R1", "meter": "01000000099", "amount_minor": 50_000}
            with pytest.raises(aiohttp.ClientError):
                await asked(sessions[0], "POST", f"{url}/v1/sales", lost)
            found = await asyncio.gather(
                *(asked(one, "GET", f"{url}/v1/sales/R1") for one in sessions)
            )
            assert [status for status, _ in found] == [200] * CONNECTIONS
            assert len({told["token"] for _, told in found}) == 1
        finally:
            for session in sessions:
                await session.close()
        running.process.terminate()
        assert await running.process.wait() == 0


async def test_fronts_share_a_vendors_quota(
    database: Database, office: Connection, seals: Seals, tmp_path: Path
) -> None:
    await accounts.add(office, "acme", name="Acme", who="Jane", now=system_clock())
    issued = await credentials.issue_key(
        office, "acme", Grant(), seals=seals, who="Jane", now=system_clock()
    )
    bearer = {"Authorization": f"Bearer {issued.secret}"}
    settings = settings_file(tmp_path, database=on(database))
    async with served(settings, SERVER, "--workers", "2") as running:
        place = f"{await url_of(running)}/v1/float"
        sessions = [aiohttp.ClientSession(headers=bearer) for _ in range(CONNECTIONS)]
        try:
            quota = 2_000_000
            made = len(await asyncio.gather(*(left_of_today(one, place) for one in sessions)))
            for session in sessions:
                # To ask uses one more, so an answer that counts all was told of all the others.
                async with asyncio.timeout(20):
                    while await left_of_today(session, place) != quota - (made := made + 1):
                        await asyncio.sleep(0.2)
        finally:
            for session in sessions:
                await session.close()
        running.process.terminate()
        assert await running.process.wait() == 0


async def left_of_today(session: aiohttp.ClientSession, url: str) -> int:
    """Ask, and return what is said to remain of the day's quota."""
    async with session.get(url) as response:
        told = re.search(r'"day";r=(\d+)', response.headers["RateLimit"])
        assert told is not None
        return int(told[1])


async def asked(
    session: aiohttp.ClientSession, method: str, url: str, body: object = None
) -> tuple[int, dict[str, Any]]:
    """Ask, and again for as long as a front that has just been started is too late."""
    while True:
        async with session.request(method, url, json=body) as response:
            told: dict[str, Any] = await response.json(content_type=None)
        if told.get("code") != "overloaded":
            return response.status, told
        await asyncio.sleep(0.1)
