"""Keys and clients: made, shown once, two at a time, revoked; never stored in the clear."""

import asyncio
from datetime import timedelta

import pytest

from tests.conftest import SettableClock
from tests.database import Database
from vending import audit_log
from vending.postgres import pool
from vending.postgres.pool import Connection
from vending.vendors import accounts, credentials
from vending.vendors.credentials import (
    CredentialsTooMany,
    CredentialUnknown,
    Grant,
    Issued,
    LabelMalformed,
    parse_key,
)
from vending.vendors.seals import Seals, VendorsClosed
from vending.vendors.vendor import Scope, Vendor, VendorUnknown

LIVE, TEST = Grant(label="till 1"), Grant(sandbox=True)


class Office:
    """Whoever makes keys at the utility."""

    def __init__(self, db: Connection, seals: Seals, clock: SettableClock) -> None:
        self.db, self.seals, self.clock = db, seals, clock

    async def key(self, grant: Grant = LIVE, vendor_id: str = "acme") -> Issued:
        return await credentials.issue_key(
            self.db, vendor_id, grant, seals=self.seals, who="Jane", now=self.clock()
        )

    async def client(self, grant: Grant = LIVE, key_set: str | None = None) -> Issued:
        return await credentials.add_client(
            self.db, "acme", grant, key_set=key_set, seals=self.seals, who="Jane", now=self.clock()
        )

    async def revoke(self, name: str, vendor_id: str = "acme") -> None:
        await credentials.revoke(self.db, vendor_id, name, who="Otieno", now=self.clock())


@pytest.fixture
def office(app: Connection, acme: Vendor, seals: Seals, clock: SettableClock) -> Office:
    assert acme.vendor_id == "acme"
    return Office(app, seals, clock)


async def test_a_key_says_what_it_is_for_and_its_secret_is_nowhere(
    office: Office, database: Database
) -> None:
    issued = await office.key()
    prefix, secret, sandbox = parse_key(issued.secret) or ("", "", None)
    assert issued.secret.startswith("stima_live_")
    assert (prefix, sandbox, len(secret) * 5 >= 256) == (issued.credential.name, False, True)
    office.clock.advance(seconds=1)
    assert (await office.key(TEST)).secret.startswith("stima_test_")
    (first, _) = await credentials.of_vendor(office.db, "acme")
    assert first == issued.credential
    assert (first.label, Scope.SALES in first.scopes) == ("till 1", True)
    assert secret not in repr(issued) + repr(issued.credential)
    owner = await pool.connect(database.owner_dsn)
    for table in ("api_key", "act"):
        rows = await owner.fetch(f"select row_to_json(t)::text as text from {table} as t")
        assert not [row for row in rows if secret in row["text"]]
    await owner.close()


async def test_two_work_at_once_so_that_one_can_replace_the_other(office: Office) -> None:
    first, second = await office.key(), await office.key()
    with pytest.raises(CredentialsTooMany):
        await office.key()
    await office.key(TEST)
    await office.revoke(first.credential.name)
    third = await office.key()
    live = [one for one in await credentials.every(office.db) if one.revoked_at is None]
    assert {one.name for one in live if not one.sandbox} == {
        second.credential.name, third.credential.name,
    }  # fmt: skip


async def test_two_clients_work_at_once(office: Office) -> None:
    first, _ = await office.client(), await office.client()
    with pytest.raises(CredentialsTooMany):
        await office.client()
    assert first.credential.name.startswith("acme.")
    await office.revoke(first.credential.name)
    await office.client()


async def test_of_many_made_at_one_instant_two_are_made(
    database: Database, office: Office, seals: Seals, clock: SettableClock
) -> None:
    async def one() -> bool:
        db = await pool.connect(database.dsn)
        try:
            await credentials.issue_key(db, "acme", LIVE, seals=seals, who="Jane", now=clock())
        except CredentialsTooMany:
            return False
        finally:
            await db.close()
        return True

    assert sum(await asyncio.gather(*(one() for _ in range(8)))) == 2
    assert len(await credentials.of_vendor(office.db, "acme")) == 2


async def test_only_a_working_credential_of_this_vendor_is_revoked(
    office: Office, clock: SettableClock
) -> None:
    issued = await office.key()
    await accounts.add(office.db, "other", name="Other", who="Jane", now=clock())
    with pytest.raises(CredentialUnknown):
        await office.revoke(issued.credential.name, vendor_id="other")
    await office.revoke(issued.credential.name)
    with pytest.raises(CredentialUnknown):
        await office.revoke(issued.credential.name)
    told = [(act.who, act.what) for act in await audit_log.of_subject(office.db, "vendor:acme")]
    assert told[:2] == [("Otieno", "credential revoked"), ("Jane", "key issued")]


async def test_nothing_is_made_for_a_vendor_nobody_knows(office: Office) -> None:
    with pytest.raises(VendorUnknown):
        await office.key(vendor_id="nobody")
    assert await credentials.every(office.db) == []


@pytest.mark.parametrize("label", ["x" * 61, "a\x00b"])
async def test_a_label_is_something_to_read(office: Office, label: str) -> None:
    with pytest.raises(LabelMalformed):
        await office.key(Grant(label=label))


@pytest.mark.parametrize(
    "text",
    ["", "stima_live_", "stima_prod_abcdefgh_" + "a" * 52, "stima_live_abcdefgh_" + "a" * 51,
     "stima_live_abcdefgh_" + "A" * 52, "x stima_live_abcdefgh_" + "a" * 52,
     "stima_live_abcdefgh_" + "a" * 52 + "\n"],
)  # fmt: skip
def test_what_is_no_key_is_none(text: str) -> None:
    assert parse_key(text) is None


def test_a_seal_fits_its_own_secret_under_the_secret_it_was_made_with() -> None:
    old, new = "o" * 32, "n" * 32
    seal = Seals(old).seal("secret")
    assert Seals(old).fits("secret", seal)
    assert not Seals(old).fits("secreT", seal)
    assert not Seals(new).fits("secret", seal)
    assert Seals(new, previous=old).fits("secret", seal)
    assert old not in repr(Seals(old))
    with pytest.raises(VendorsClosed):
        Seals("")


async def test_a_grant_may_end_by_itself(office: Office, clock: SettableClock) -> None:
    ends = clock() + timedelta(days=90)
    issued = await office.key(Grant(expires_at=ends))
    assert issued.credential.expires_at == ends
    (stored,) = await credentials.every(office.db)
    assert stored.expires_at == ends
