"""XMLVend behind front processes: the core writes, and what it refuses is the front's fault."""

from pathlib import Path

import aiohttp

from tests.api.v1.conftest import basic
from tests.api.v1.test_fronts import SERVER
from tests.api.xmlvend.tills import Told, a_message
from tests.commands.demo_process import served
from tests.commands.offices import on, settings_file, url_of
from tests.database import Database
from vending.clock import system_clock
from vending.postgres.pool import Connection
from vending.vendors import accounts, credentials
from vending.vendors.credentials import Grant
from vending.vendors.seals import Seals

KIND = "StartShiftBatchReq"


async def test_fronts_carry_what_tills_write_to_the_core_and_its_refusals_back(
    database: Database, office: Connection, seals: Seals, tmp_path: Path
) -> None:
    await accounts.add(office, "acme", name="Acme", who="Jane", now=system_clock())
    issued = await credentials.issue_key(
        office, "acme", Grant(), seals=seals, who="Jane", now=system_clock()
    )
    settings = settings_file(tmp_path, database=on(database))
    async with served(settings, SERVER, "--workers", "2") as running:
        url = f"{await url_of(running)}/xmlvend?spelling=prefixed"
        auth = basic("till", issued.secret)
        async with aiohttp.ClientSession(headers=auth) as session:

            async def ask(body: bytes) -> Told:
                async with session.post(url, data=body) as response:
                    return Told(response.status, response.headers, await response.read())

            start = a_message("startBatchReq", kind=KIND)
            started = await ask(start)
            assert (started.status, started.one("startedBatch").attrib["seqNo"]) == (200, "1")
            assert b"<ns3:startBatchResp" in started.body
            again = await ask(start)
            assert again.fault == ("StartBatchEx", "shift_open")
            assert b"<ns2:xmlvendFaultResp" in again.body
        running.process.terminate()
        assert await running.process.wait() == 0
