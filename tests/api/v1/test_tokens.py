"""The token endpoint: three ways for a client to prove itself, and OAuth's own refusals."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from tests.api.conftest import Reply, Serve
from tests.api.v1.conftest import Caller, basic, settings
from tests.conftest import SettableClock
from tests.database import Database
from tests.vendors import signers
from vending.postgres.pool import Connection
from vending.vendors import accounts, assertions, credentials
from vending.vendors.credentials import Grant, Issued
from vending.vendors.seals import Seals
from vending.vendors.vendor import Scope

GRANT = {"grant_type": "client_credentials"}
ASSERTION = {**GRANT, "client_assertion_type": assertions.TYPE}
PUBLIC_URL = signers.AUDIENCE.removesuffix("/oauth/token")

KEY = signers.a_key()


@pytest.fixture
async def client(
    office: Connection, seals: Seals, clock: SettableClock, acme_key: Issued
) -> Issued:
    """Make a client of acme's with a secret, for float and shifts alone."""
    assert acme_key.credential.vendor_id == "acme"
    grant = Grant(scopes=frozenset({Scope.ACCOUNT, Scope.SHIFTS}))
    return await credentials.add_client(office, "acme", grant, seals=seals, who="J", now=clock())


@pytest.fixture
async def signer(
    office: Connection, seals: Seals, clock: SettableClock, acme_key: Issued
) -> Issued:
    """Make a client of acme's with a public key."""
    assert acme_key.credential.vendor_id == "acme"
    return await credentials.add_client(
        office, "acme", Grant(), key_set=signers.public(KEY), seals=seals, who="J", now=clock()
    )


@pytest.fixture
async def machine(
    serve: Serve, database: Database, client: Issued, signer: Issued
) -> AsyncIterator[Caller]:
    """Serve the API to a machine that has no key."""
    assert client.credential.vendor_id == signer.credential.vendor_id
    async with serve(**settings(database, public_url=PUBLIC_URL)) as served:
        yield Caller(served, "acme", "")


async def fetch(machine: Caller, form: dict[str, Any] | bytes, **more: Any) -> Reply:
    return await machine.post("/oauth/token", data=form, **more)


def refused(reply: Reply, status: int, error: str, code: str) -> None:
    told = reply.json
    assert (reply.status, told["error"], told["code"]) == (status, error, code), reply.body
    assert told["trace_id"] == reply.headers["Trace-Id"]
    assert reply.headers["Cache-Control"] == "no-store"


async def test_a_client_fetches_a_token_by_its_secret_and_calls_with_it(
    machine: Caller, client: Issued
) -> None:
    name, secret = client.credential.name, client.secret
    for reply in (
        await fetch(machine, GRANT, headers=basic(name, secret)),
        await fetch(machine, {**GRANT, "client_id": name, "client_secret": secret}),
    ):
        assert reply.status == 200
        assert reply.headers["Cache-Control"] == "no-store"
        told = reply.json
        assert (told["token_type"], told["expires_in"]) == ("Bearer", 900)
        assert told["scope"] == "account shifts"
        assert (await machine.get("/v1/float", bearer=told["access_token"])).status == 200
        other = await machine.get("/v1/webhooks", bearer=told["access_token"])
        assert (other.status, other.json["code"]) == (403, "scope_missing")


async def test_a_client_fetches_a_token_by_signing(
    machine: Caller, signer: Issued, clock: SettableClock
) -> None:
    signed = signers.signed(KEY, signer.credential.name, now=clock())
    reply = await fetch(machine, {**ASSERTION, "client_assertion": signed})
    assert reply.status == 200
    assert (await machine.get("/v1/float", bearer=reply.json["access_token"])).status == 200
    again = await fetch(machine, {**ASSERTION, "client_assertion": signed})
    refused(again, 401, "invalid_client", "assertion_repeated")


async def test_a_narrower_scope_may_be_asked_for_and_no_wider(
    machine: Caller, client: Issued
) -> None:
    proof = basic(client.credential.name, client.secret)
    narrow = await fetch(machine, {**GRANT, "scope": "shifts"}, headers=proof)
    assert narrow.json["scope"] == "shifts"
    reply = await machine.get("/v1/float", bearer=narrow.json["access_token"])
    assert reply.status == 403
    wide = await fetch(machine, {**GRANT, "scope": "shifts sales"}, headers=proof)
    refused(wide, 400, "invalid_scope", "scope_missing")
    unheard = await fetch(machine, {**GRANT, "scope": "everything"}, headers=proof)
    refused(unheard, 400, "invalid_scope", "scope_unknown")


async def test_what_is_no_request_for_a_token_is_said(machine: Caller, client: Issued) -> None:
    name, secret = client.credential.name, client.secret
    proof = basic(name, secret)
    for form, headers, error, code in (
        ({}, proof, "invalid_request", "token_request_invalid"),
        ({"grant_type": "password"}, proof, "unsupported_grant_type", "grant_unsupported"),
        (GRANT, {}, "invalid_request", "token_request_invalid"),
        ({**GRANT, "client_secret": secret}, proof, "invalid_request", "token_request_invalid"),
        ({**GRANT, "client_id": "other"}, proof, "invalid_request", "token_request_invalid"),
        ({**GRANT, "client_assertion": "a.b.c"}, {}, "invalid_request", "token_request_invalid"),
    ):
        refused(await fetch(machine, form, headers=headers), 400, error, code)
    odd = await machine.post("/oauth/token", {"grant_type": "client_credentials"}, headers=proof)
    refused(odd, 415, "invalid_request", "content_type_wrong")
    torn = await fetch(
        machine,
        b"grant_type=%ff",
        headers={**proof, "Content-Type": "application/x-www-form-urlencoded"},
    )
    refused(torn, 400, "invalid_request", "request_malformed")


async def test_a_client_that_is_not_known_is_challenged(machine: Caller, client: Issued) -> None:
    for proof in (
        basic(client.credential.name, "wrong"),
        basic("nobody", client.secret),
        {"Authorization": "Basic !"},
        {"Authorization": "Bearer " + client.secret},
    ):
        reply = await fetch(machine, GRANT, headers=proof)
        refused(reply, 401, "invalid_client", "credential_refused")
        assert reply.headers["WWW-Authenticate"] == 'Basic realm="stima"'


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"aud": "https://other.example"}, "aud"),
        ({"exp": 1}, "expired"),
        ({"iss": "other"}, "iss"),
        ({"jti": None}, "jti"),
    ],
)
async def test_an_assertion_that_is_not_for_us_is_refused(
    machine: Caller, signer: Issued, clock: SettableClock, claims: dict[str, Any], reason: str
) -> None:
    assert reason
    signed = signers.signed(KEY, signer.credential.name, now=clock(), **claims)
    reply = await fetch(machine, {**ASSERTION, "client_assertion": signed})
    refused(reply, 401, "invalid_client", "assertion_refused")


async def test_another_key_signs_for_nobody(
    machine: Caller, signer: Issued, clock: SettableClock
) -> None:
    signed = signers.signed(signers.a_key(), signer.credential.name, now=clock())
    reply = await fetch(machine, {**ASSERTION, "client_assertion": signed})
    refused(reply, 401, "invalid_client", "assertion_refused")
    unreadable = await fetch(machine, {**ASSERTION, "client_assertion": "a.b.c"})
    refused(unreadable, 401, "invalid_client", "assertion_refused")


async def test_a_revoked_client_ends_with_its_tokens(
    machine: Caller, client: Issued, office: Connection, clock: SettableClock
) -> None:
    proof = basic(client.credential.name, client.secret)
    token = (await fetch(machine, GRANT, headers=proof)).json["access_token"]
    await credentials.revoke(office, "acme", client.credential.name, who="Jane", now=clock())
    async with asyncio.timeout(5):
        while (reply := await machine.get("/v1/float", bearer=token)).status == 200:
            await asyncio.sleep(0.05)
    assert (reply.status, reply.json["code"]) == (401, "credential_revoked")
    refused(await fetch(machine, GRANT, headers=proof), 401, "invalid_client",
            "credential_revoked")  # fmt: skip


async def test_a_suspended_vendor_fetches_no_token(
    machine: Caller, client: Issued, office: Connection, clock: SettableClock
) -> None:
    await accounts.suspend(office, "acme", note="", who="Jane", now=clock())
    proof = basic(client.credential.name, client.secret)
    async with asyncio.timeout(5):
        while (reply := await fetch(machine, GRANT, headers=proof)).status == 200:
            await asyncio.sleep(0.05)
    refused(reply, 400, "unauthorized_client", "vendor_suspended")


async def test_a_token_can_be_fetched_so_often_and_no_oftener(
    serve: Serve, database: Database, client: Issued
) -> None:
    async with serve(**settings(database, burst_quota=1)) as served:
        machine = Caller(served, "acme", "")
        proof = basic(client.credential.name, client.secret)
        assert (await fetch(machine, GRANT, headers=proof)).status == 200
        reply = await fetch(machine, GRANT, headers=proof)
        refused(reply, 429, "temporarily_unavailable", "quota_exceeded")
        assert int(reply.headers["Retry-After"]) >= 1


async def test_a_form_that_is_too_large_or_packed_is_not_read(
    machine: Caller, client: Issued
) -> None:
    proof = basic(client.credential.name, client.secret)
    huge = {**GRANT, "scope": "x" * 70_000}
    refused(await fetch(machine, huge, headers=proof), 413, "invalid_request", "body_too_large")
    form = {**proof, "Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "br"}
    packed = await fetch(machine, b"grant_type=client_credentials", headers=form)
    refused(packed, 415, "invalid_request", "body_encoded")


async def test_an_expired_client_fetches_no_token(
    serve: Serve,
    database: Database,
    office: Connection,
    seals: Seals,
    clock: SettableClock,
    acme_key: Issued,
) -> None:
    grant = Grant(expires_at=clock() + timedelta(days=1))
    short = await credentials.add_client(
        office, acme_key.credential.vendor_id, grant, seals=seals, who="J", now=clock()
    )
    proof = basic(short.credential.name, short.secret)
    async with serve(**settings(database)) as served:
        machine = Caller(served, "acme", "")
        assert (await fetch(machine, GRANT, headers=proof)).status == 200
        clock.advance(days=2)
        reply = await fetch(machine, GRANT, headers=proof)
        refused(reply, 401, "invalid_client", "credential_expired")


async def test_a_client_fetches_tokens_from_its_vendor_s_addresses_only(
    serve: Serve, database: Database, office: Connection, client: Issued, clock: SettableClock
) -> None:
    await accounts.set_addresses(office, "acme", ["127.0.0.9"], who="Jane", now=clock())
    async with serve(**settings(database)) as served:
        proof = basic(client.credential.name, client.secret)
        reply = await fetch(Caller(served, "acme", ""), GRANT, headers=proof)
        refused(reply, 400, "unauthorized_client", "address_forbidden")


async def test_a_register_that_was_never_read_gives_no_token(
    serve: Serve, database: Database, client: Issued, dead_dsn: str
) -> None:
    async with serve(**settings(database), readers_dsn=dead_dsn) as served:
        proof = basic(client.credential.name, client.secret)
        reply = await fetch(Caller(served, "acme", ""), GRANT, headers=proof)
        refused(reply, 503, "temporarily_unavailable", "register_stale")
        assert int(reply.headers["Retry-After"]) >= 1


async def test_an_assertion_that_cannot_be_written_down_now_is_good_later(
    machine: Caller, signer: Issued, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = {
        **ASSERTION,
        "client_assertion": signers.signed(KEY, signer.credential.name, now=clock()),
    }

    async def away(*_args: object, **_more: object) -> None:
        raise ConnectionRefusedError

    with monkeypatch.context() as while_away:
        while_away.setattr("vending.vendors.assertions.prove", away)
        reply = await fetch(machine, signed)
        refused(reply, 503, "temporarily_unavailable", "database_unavailable")
        assert int(reply.headers["Retry-After"]) >= 1
    assert (await fetch(machine, signed)).status == 200


async def test_what_nobody_foresaw_is_told_without_a_word_of_it(
    machine: Caller, client: Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_more: object) -> object:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr("vending.vendors.access_tokens.issue", broken)
    proof = basic(client.credential.name, client.secret)
    reply = await fetch(machine, GRANT, headers=proof)
    refused(reply, 500, "server_error", "internal")
    assert b"secret" not in reply.body
