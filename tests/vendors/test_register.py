"""The register: who may call, told from memory, and no longer true within seconds."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from tests.conftest import SettableClock
from tests.vendors.signers import a_key, public
from vending.postgres.pool import Connection
from vending.vendors import access_tokens, accounts, credentials
from vending.vendors.access_tokens import AccessTokenExpired, AccessTokenInvalid, ScopeMissing
from vending.vendors.credentials import Credential, Grant, Issued
from vending.vendors.register import (
    Caller,
    CertificateMissing,
    CredentialExpired,
    CredentialRefused,
    CredentialRevoked,
    Register,
    RegisterStale,
)
from vending.vendors.seals import Seals
from vending.vendors.vendor import (
    AddressForbidden,
    Scope,
    Vendor,
    VendorSuspended,
    VendorUnknown,
)

LIFETIME = timedelta(minutes=15)
HOME = "192.0.2.7"


@dataclass(slots=True)
class Gate:
    """A process that is called: a register, the seals, two clocks."""

    db: Connection
    seals: Seals
    clock: SettableClock
    seconds: float = 100.0
    register: Register = field(init=False)

    def __post_init__(self) -> None:
        self.register = Register(self.db, seals=self.seals, steady=lambda: self.seconds)

    async def key(self, grant: Grant = Grant()) -> Issued:  # noqa: B008 -- frozen
        return await self._made(
            credentials.issue_key(
                self.db, "acme", grant, seals=self.seals, who="Jane", now=self.clock()
            )
        )

    async def client(self, grant: Grant = Grant(), key_set: str | None = None) -> Issued:  # noqa: B008 -- frozen
        return await self._made(
            credentials.add_client(
                self.db, "acme", grant, key_set=key_set, seals=self.seals, who="Jane",
                now=self.clock(),
            )
        )  # fmt: skip

    async def _made(self, making: Awaitable[Issued]) -> Issued:
        issued = await making
        await self.register.refresh()
        return issued

    def bearer(self, text: str, **facts: str) -> Caller:
        return self.register.bearer(text, now=self.clock(), **({"address": HOME} | facts))

    def token(self, client: Credential, **facts: object) -> str:
        return access_tokens.issue(
            client,
            lifetime=LIFETIME,
            seals=self.seals,
            now=self.clock(),
            **facts,  # type: ignore[arg-type]
        ).text


@pytest.fixture
async def gate(app: Connection, acme: Vendor, seals: Seals, clock: SettableClock) -> Gate:
    assert acme.vendor_id == "acme"
    gate = Gate(app, seals, clock)
    await gate.register.refresh()
    return gate


async def test_a_key_says_who_calls_and_for_what(gate: Gate) -> None:
    issued = await gate.key(Grant(scopes=frozenset({Scope.SALES})))
    caller = gate.bearer(issued.secret)
    assert (caller.vendor_id, caller.credential) == ("acme", issued.credential.name)
    assert caller.who == f"vendor:acme by {issued.credential.name}"
    assert not caller.sandbox
    caller.require(Scope.SALES)
    with pytest.raises(ScopeMissing, match="scope=webhooks"):
        caller.require(Scope.WEBHOOKS)
    assert gate.bearer((await gate.key(Grant(sandbox=True))).secret).sandbox


async def test_only_the_whole_key_is_the_key(gate: Gate) -> None:
    secret = (await gate.key()).secret
    end = "a" if secret[-1] != "a" else "q"
    for text in (secret[:-1] + end, secret[:-1], secret.replace("live", "test"),
                 "stima_live_abcdefgh_" + "a" * 52, "stima_"):  # fmt: skip
        with pytest.raises(CredentialRefused):
            gate.bearer(text)


async def test_a_key_sealed_without_the_secret_is_no_key(gate: Gate, seals: Seals) -> None:
    planted = await credentials.issue_key(
        gate.db, "acme", Grant(), seals=Seals("x" * 32), who="Mallory", now=gate.clock()
    )
    await gate.register.refresh()
    with pytest.raises(CredentialRefused):
        gate.bearer(planted.secret)
    assert seals.signer.kid != Seals("x" * 32).signer.kid


Ending = Callable[[Gate, str], Awaitable[None]]


async def _revoked(gate: Gate, name: str) -> None:
    await credentials.revoke(gate.db, "acme", name, who="Jane", now=gate.clock())


async def _suspended(gate: Gate, _name: str) -> None:
    await accounts.suspend(gate.db, "acme", note="", who="Jane", now=gate.clock())


async def _moved(gate: Gate, _name: str) -> None:
    await accounts.set_addresses(gate.db, "acme", ["10.0.0.1"], who="Jane", now=gate.clock())


async def _aged(gate: Gate, _name: str) -> None:
    gate.clock.now += timedelta(days=2)


@pytest.mark.parametrize(
    ("ending", "fault"),
    [
        (_revoked, CredentialRevoked),
        (_suspended, VendorSuspended),
        (_moved, AddressForbidden),
        (_aged, CredentialExpired),
    ],
)
async def test_what_has_ended_is_refused_for_keys_clients_and_tokens(
    gate: Gate, ending: Ending, fault: type[Exception]
) -> None:
    ends = Grant(expires_at=gate.clock() + timedelta(days=1))
    key = await gate.key(ends)
    client = await gate.client(ends)
    signer = await gate.client(ends, key_set=public(a_key()))
    for name in (one.credential.name for one in (key, client, signer)):
        await ending(gate, name)
    await gate.register.refresh()
    with pytest.raises(fault):
        gate.bearer(key.secret)
    with pytest.raises(fault):
        gate.bearer(gate.token(client.credential))
    now, name = gate.clock(), client.credential.name
    with pytest.raises(fault):
        gate.register.client(name, client.secret, address=HOME, now=now)
    with pytest.raises(fault):
        gate.register.signing_client(signer.credential.name, address=HOME, now=now)


async def test_a_client_is_known_by_its_secret_and_no_other(gate: Gate) -> None:
    client = await gate.client()
    signer = await gate.client(key_set=public(a_key()))
    name, now = client.credential.name, gate.clock()
    found = gate.register.client(name, client.secret, address=HOME, now=now)
    assert found == client.credential
    for client_id, secret in ((name, "x"), ("acme.zzzzzzzz", client.secret),
                              (signer.credential.name, ""), (name, "é")):  # fmt: skip
        with pytest.raises(CredentialRefused):
            gate.register.client(client_id, secret, address=HOME, now=now)
    with pytest.raises(CredentialRefused):
        gate.register.signing_client("acme.zzzzzzzz", address=HOME, now=now)


async def test_a_token_stands_for_its_client_for_a_while(gate: Gate) -> None:
    client = (await gate.client()).credential
    text = gate.token(client, scopes=frozenset({Scope.SALES}))
    caller = gate.bearer(text)
    assert (caller.credential, caller.scopes) == (client.name, frozenset({Scope.SALES}))
    gate.clock.now += LIFETIME
    with pytest.raises(AccessTokenExpired):
        gate.bearer(text)


async def test_a_token_is_for_no_more_than_its_client(gate: Gate) -> None:
    client = (await gate.client(Grant(scopes=frozenset({Scope.METERS})))).credential
    with pytest.raises(ScopeMissing, match="scope=sales"):
        gate.token(client, scopes=frozenset({Scope.SALES}))


async def test_a_bound_token_needs_its_certificate(gate: Gate) -> None:
    text = gate.token((await gate.client()).credential, certificate="thumb")
    assert gate.bearer(text, certificate="thumb").vendor_id == "acme"
    for facts in ({}, {"certificate": "other"}):
        with pytest.raises(CertificateMissing):
            gate.bearer(text, **facts)


async def test_a_token_is_made_by_us_and_is_an_access_token(gate: Gate) -> None:
    client = (await gate.client()).credential
    good = gate.token(client)
    head, body, signature = good.split(".")
    foreign = access_tokens.issue(
        client, lifetime=LIFETIME, seals=Seals("y" * 32), now=gate.clock()
    ).text
    assert gate.bearer(good).vendor_id == "acme"
    for text in ("", "a.b.c", f"{head}.{body}.", f"{head}.{body[:-2]}.{signature}", foreign,
                 good + "x" * 2_048, "é"):  # fmt: skip
        with pytest.raises(AccessTokenInvalid):
            gate.bearer(text)


async def test_a_replaced_secret_is_believed_for_as_long_as_it_is_set(
    gate: Gate, app: Connection
) -> None:
    key, client = await gate.key(), (await gate.client()).credential
    token = gate.token(client)
    later = Gate(app, Seals("n" * 32, previous="a secret of thirty-two characters"), gate.clock)
    await later.register.refresh()
    assert later.bearer(key.secret).vendor_id == later.bearer(token).vendor_id
    over = Gate(app, Seals("n" * 32), gate.clock)
    await over.register.refresh()
    with pytest.raises(CredentialRefused):
        over.bearer(key.secret)
    with pytest.raises(AccessTokenInvalid):
        over.bearer(token)


async def test_a_register_that_is_too_old_is_not_believed(gate: Gate) -> None:
    secret = (await gate.key()).secret
    gate.seconds += 4.0
    assert gate.bearer(secret).vendor_id == "acme"
    gate.seconds += 0.1
    assert not gate.register.current
    with pytest.raises(RegisterStale):
        gate.bearer(secret)
    with pytest.raises(RegisterStale):
        gate.register.client("a", "b", address=HOME, now=gate.clock())
    await gate.register.refresh()
    assert gate.bearer(secret).vendor_id == "acme"


async def test_a_register_never_read_is_not_believed(app: Connection, seals: Seals) -> None:
    register = Register(app, seals=seals)
    assert not register.current


async def test_a_vendor_is_found_by_its_id(gate: Gate) -> None:
    assert gate.register.vendor("acme").name == "Acme Airtime"
    with pytest.raises(VendorUnknown):
        gate.register.vendor("nobody")


class Flickering:
    """A database that is away for its first read."""

    def __init__(self, db: Connection) -> None:
        self.db = db
        self.asked = 0

    async def fetch(self, query: str, /, *args: object) -> list[object]:
        self.asked += 1
        if self.asked == 1:
            raise ConnectionResetError
        return await self.db.fetch(query, *args)  # type: ignore[return-value]


async def test_the_register_is_read_again_and_again_even_if_the_database_was_away(
    app: Connection, acme: Vendor, seals: Seals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vending.vendors.register.REFRESH_SECONDS", 0.001)
    source = Flickering(app)
    register = Register(source, seals=seals)  # type: ignore[arg-type]
    running = asyncio.create_task(register.run())
    async with asyncio.timeout(10):
        while not register.current:
            await asyncio.sleep(0)
    assert register.vendor("acme") == acme
    register.stop()
    await running
    assert source.asked >= 3
