"""Two vendors with keys, the API they call on a real socket, and what they say to it."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import aiohttp
import pytest

from tests.api.conftest import Reply, Serve, Served
from tests.conftest import SettableClock
from tests.database import Database
from vending.postgres import pool
from vending.postgres.pool import Connection
from vending.vendors import accounts, credentials, deposits
from vending.vendors.credentials import Grant, Issued
from vending.vendors.deposits import Slip
from vending.vendors.seals import Seals

SECRET = "a secret of thirty-two characters"

VENDORS: dict[str, Any] = {"secret": SECRET}
WEBHOOKS: dict[str, Any] = {"passphrase": "horses and staples", "loopback": True}

_numbers = count(1)


@dataclass(slots=True)
class Caller:
    """Somebody who calls the API: with a key, and now and then with another."""

    api: Served
    vendor_id: str
    key: str = field(repr=False)

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        bearer: str | None = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> Reply:
        """Send a request, with this caller's key unless another `bearer` is given."""
        shown = self.key if bearer is None else bearer
        given = {**({"Authorization": f"Bearer {shown}"} if shown else {}), **(headers or {})}
        if body is not None:
            more["json"] = body
        async with self.api.session.request(
            method, self.api.url + path, headers=given, **more
        ) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, path: str, **more: Any) -> Reply:
        return await self.ask("GET", path, **more)

    async def post(self, path: str, body: object = None, **more: Any) -> Reply:
        return await self.ask("POST", path, body, **more)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a slow machine be slow; what is refused in a hurry is tested where it is wanted."""
    hours = {"p2": 3600.0, "p3": 3600.0}
    monkeypatch.setattr("vending.api.admission.LOOP_LAG_SECONDS", hours)
    monkeypatch.setattr("vending.api.admission.LOOK_UP_WAIT_SECONDS", hours)
    monkeypatch.setattr("vending.vendors.register.STALE_SECONDS", 3600.0)
    monkeypatch.setattr("vending.api.v1.teller.TURN_SECONDS", 60.0)
    monkeypatch.setattr("vending.api.v1.teller.WRITE_SECONDS", 60.0)


@pytest.fixture
def seals() -> Seals:
    return Seals(SECRET)


@pytest.fixture
async def office(database: Database) -> AsyncIterator[Connection]:
    """Connect as the server's role, to do at the utility what commands do."""
    connection = await pool.connect(database.dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def acme_key(office: Connection, seals: Seals, clock: SettableClock) -> Issued:
    return await a_vendor(office, "acme", seals=seals, clock=clock)


@pytest.fixture
async def bolt_key(office: Connection, seals: Seals, clock: SettableClock) -> Issued:
    return await a_vendor(office, "bolt", seals=seals, clock=clock)


@pytest.fixture
async def vendors_api(
    serve: Serve, database: Database, acme_key: Issued, bolt_key: Issued
) -> AsyncIterator[Served]:
    """Serve the API to acme and bolt."""
    async with serve(**settings(database)) as served:
        yield served


@pytest.fixture
async def acme(vendors_api: Served, acme_key: Issued) -> Caller:
    return Caller(vendors_api, "acme", acme_key.secret)


@pytest.fixture
async def bolt(vendors_api: Served, bolt_key: Issued) -> Caller:
    return Caller(vendors_api, "bolt", bolt_key.secret)


def settings(database: Database, **vendors: Any) -> dict[str, dict[str, Any]]:
    """Return the sections that open the vendors' API."""
    return {
        "vendors": {**VENDORS, **vendors},
        "webhooks": WEBHOOKS,
        "database": {"dsn": database.dsn},
    }


async def a_vendor(
    db: Connection,
    vendor_id: str,
    *,
    seals: Seals,
    clock: SettableClock,
    grant: Grant | None = None,
) -> Issued:
    """Take a vendor on and give it a key."""
    await accounts.add(db, vendor_id, name=vendor_id.title(), who="Jane", now=clock())
    return await credentials.issue_key(
        db, vendor_id, grant or Grant(), seals=seals, who="Jane", now=clock()
    )


async def a_deposit(
    db: Connection,
    vendor_id: str,
    *,
    next_number: Callable[[], int],
    clock: SettableClock,
    amount_minor: int = 1_000_000,
) -> int:
    """Pay money into a vendor's float, as two people of the utility; return its number."""
    slip = Slip(
        vendor_id=vendor_id, bank="kcb", bank_reference=f"FT{next(_numbers):06d}",
        amount_minor=amount_minor,
    )  # fmt: skip
    number = next_number()
    await deposits.propose(db, slip, deposit_id=number, who="Jane", now=clock())
    await deposits.confirm(db, number, entry_id=next_number, who="Otieno", now=clock())
    return number


def basic(client_id: str, secret: str) -> dict[str, str]:
    """Return the header of HTTP Basic."""
    return {"Authorization": aiohttp.encode_basic_auth(client_id, secret)}
