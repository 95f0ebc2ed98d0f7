"""Who is let in: keys, tokens, addresses, scopes; and that a revoked key sells nothing for long."""

import asyncio
import hashlib
from datetime import timedelta

import pytest

from tests.api.conftest import Reply, Serve
from tests.api.v1.conftest import Caller, a_vendor, basic, settings
from tests.conftest import SettableClock
from tests.database import Database
from vending.postgres.pool import Connection
from vending.vendors import access_tokens, accounts, credentials
from vending.vendors.credentials import Grant, Issued
from vending.vendors.seals import Seals
from vending.vendors.vendor import Scope

PROXY = {"server": {"trusted_proxies": ["127.0.0.1"]}}
THUMB = hashlib.sha256(b"a certificate").hexdigest()


def refused(reply: Reply, status: int, code: str) -> None:
    assert (reply.status, reply.json["code"]) == (status, code), reply.body
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.json["type"] == f"urn:stima:error:{code}"
    assert reply.json["status"] == status
    assert reply.json["money_state"] == "not_taken"
    assert reply.json["trace_id"] == reply.headers["Trace-Id"]


async def test_a_key_lets_its_vendor_in(acme: Caller) -> None:
    assert (await acme.get("/v1/float")).status == 200


async def test_nobody_is_let_in_without_a_credential(acme: Caller) -> None:
    reply = await acme.get("/v1/float", bearer="")
    refused(reply, 401, "credential_missing")
    assert reply.headers["WWW-Authenticate"] == 'Bearer realm="stima"'
    assert reply.json["retry"] == "never"
    assert reply.json["instance"] == "/v1/float"
    refused(await acme.get("/v1/float", bearer="", headers=basic("a", "b")), 401,
            "credential_missing")  # fmt: skip


@pytest.mark.parametrize(
    ("shown", "code"),
    [
        ("stima_live_aaaaaaaa_" + "a" * 52, "credential_refused"),
        ("stima_nothing", "credential_refused"),
        ("two words", "credential_refused"),
        ("eyJhbGciOiJub25lIn0.e30.", "access_token_invalid"),
        ("x" * 3000, "credential_refused"),
    ],
)
async def test_what_is_no_credential_of_ours_is_refused(
    acme: Caller, shown: str, code: str
) -> None:
    reply = await acme.get("/v1/float", bearer=shown)
    refused(reply, 401, code)
    assert 'error="invalid_token"' in reply.headers["WWW-Authenticate"]


async def test_a_secret_that_is_wrong_by_a_letter_is_refused(acme: Caller) -> None:
    last = "a" if acme.key[-1] != "a" else "b"
    refused(await acme.get("/v1/float", bearer=acme.key[:-1] + last), 401, "credential_refused")


async def test_a_key_without_the_scope_is_told_which_one(
    acme: Caller, office: Connection, seals: Seals, clock: SettableClock
) -> None:
    grant = Grant(scopes=frozenset({Scope.SALES}))
    key = await a_vendor(office, "tills", seals=seals, clock=clock, grant=grant)
    reply = await once_known(acme, key.secret)
    refused(reply, 403, "scope_missing")
    assert 'scope="account"' in reply.headers["WWW-Authenticate"]


async def test_a_key_of_the_sandbox_has_no_account(
    acme: Caller, office: Connection, seals: Seals, clock: SettableClock
) -> None:
    key = await credentials.issue_key(
        office, "acme", Grant(sandbox=True), seals=seals, who="Jane", now=clock()
    )
    reply = await once_known(acme, key.secret)
    refused(reply, 403, "sandbox_only")


async def test_an_expired_key_is_refused(
    acme: Caller, office: Connection, seals: Seals, clock: SettableClock
) -> None:
    grant = Grant(expires_at=clock() + timedelta(days=1))
    key = await credentials.issue_key(office, "acme", grant, seals=seals, who="Jane", now=clock())
    reply = await once_known(acme, key.secret)
    assert reply.status == 200
    clock.advance(days=1)
    refused(await acme.get("/v1/float", bearer=key.secret), 401, "credential_expired")


async def test_a_vendor_calls_from_its_own_addresses_only(
    serve: Serve, database: Database, office: Connection, acme_key: Issued, clock: SettableClock
) -> None:
    await accounts.set_addresses(office, "acme", ["127.0.0.9"], who="Jane", now=clock())
    async with serve(**settings(database)) as served:
        acme = Caller(served, "acme", acme_key.secret)
        refused(await acme.get("/v1/float"), 403, "address_forbidden")
        # Nor does it help to say one was forwarded.
        refused(await acme.get("/v1/float", headers={"X-Forwarded-For": "127.0.0.9"}), 403,
                "address_forbidden")  # fmt: skip
    async with serve(**settings(database), source="127.0.0.9") as served:
        assert (await Caller(served, "acme", acme_key.secret).get("/v1/float")).status == 200
    async with serve(**settings(database), **PROXY) as served:
        forwarded = Caller(served, "acme", acme_key.secret)
        reply = await forwarded.get("/v1/float", headers={"X-Forwarded-For": "127.0.0.9"})
        assert reply.status == 200


async def test_a_revoked_key_ends_within_five_seconds(
    acme: Caller, office: Connection, clock: SettableClock, acme_key: Issued
) -> None:
    assert (await acme.get("/v1/float")).status == 200
    await credentials.revoke(office, "acme", acme_key.credential.name, who="Jane", now=clock())
    async with asyncio.timeout(5):
        while (reply := await acme.get("/v1/float")).status == 200:
            await asyncio.sleep(0.05)
    refused(reply, 401, "credential_revoked")


async def test_a_suspended_vendor_ends_within_five_seconds(
    acme: Caller, bolt: Caller, office: Connection, clock: SettableClock
) -> None:
    await accounts.suspend(office, "acme", note="unpaid", who="Jane", now=clock())
    async with asyncio.timeout(5):
        while (reply := await acme.get("/v1/float")).status == 200:
            await asyncio.sleep(0.05)
    refused(reply, 403, "vendor_suspended")
    assert (await bolt.get("/v1/float")).status == 200


async def test_a_register_that_was_never_read_lets_nobody_in(
    serve: Serve, database: Database, acme_key: Issued, dead_dsn: str
) -> None:
    async with serve(**settings(database), readers_dsn=dead_dsn) as served:
        reply = await Caller(served, "acme", acme_key.secret).get("/v1/float")
        refused(reply, 503, "register_stale")
        assert reply.json["retry"] == "after"
        assert reply.json["retry_after_seconds"] == int(reply.headers["Retry-After"])


async def test_a_token_bound_to_a_certificate_needs_it(
    serve: Serve,
    database: Database,
    office: Connection,
    acme_key: Issued,
    seals: Seals,
    clock: SettableClock,
) -> None:
    client = await credentials.add_client(
        office, "acme", Grant(), seals=seals, who="Jane", now=clock()
    )
    bound = settings(database, certificate_header="Client-Cert-Sha256")
    shown = {"Client-Cert-Sha256": THUMB}
    async with serve(**bound, **PROXY) as served:
        acme = Caller(served, "acme", acme_key.secret)
        form = {"grant_type": "client_credentials"}
        token = (
            await acme.post(
                "/oauth/token", data=form, bearer="",
                headers={**basic(client.credential.name, client.secret), **shown},
            )
        ).json["access_token"]  # fmt: skip
        assert (await acme.get("/v1/float", bearer=token, headers=shown)).status == 200
        refused(await acme.get("/v1/float", bearer=token), 401, "certificate_missing")
        other = {"Client-Cert-Sha256": hashlib.sha256(b"another").hexdigest()}
        refused(await acme.get("/v1/float", bearer=token, headers=other), 401,
                "certificate_missing")  # fmt: skip
    async with serve(**bound) as served:  # and nobody but our proxy may say so
        direct = Caller(served, "acme", acme_key.secret)
        refused(await direct.get("/v1/float", bearer=token, headers=shown), 401,
                "certificate_missing")  # fmt: skip


async def test_an_expired_token_is_refused(
    acme: Caller, office: Connection, seals: Seals, clock: SettableClock
) -> None:
    client = await credentials.add_client(
        office, "acme", Grant(), seals=seals, who="Jane", now=clock()
    )
    token = access_tokens.issue(
        client.credential, lifetime=timedelta(minutes=15), seals=seals, now=clock()
    )
    reply = await once_known(acme, token.text)
    assert reply.status == 200
    clock.advance(minutes=16)
    refused(await acme.get("/v1/float", bearer=token.text), 401, "access_token_expired")


async def once_known(caller: Caller, bearer: str) -> Reply:
    """Ask with a fresh credential until the register has read it; return the first real answer."""
    async with asyncio.timeout(5):
        while True:
            reply = await caller.get("/v1/float", bearer=bearer)
            if reply.status != 401 or reply.json["code"] != "credential_refused":
                return reply
            await asyncio.sleep(0.05)
