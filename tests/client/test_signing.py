"""A client that proves itself by a key which never leaves it, and signs what it sends."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from tests.api.conftest import Serve
from tests.api.v1.conftest import settings
from tests.client.between import Between, Loss, between
from tests.client.conftest import Connect
from tests.conftest import SettableClock
from tests.database import Database
from tests.vendors import signers
from tests.vendors.market import PRICE, Market
from vending.client import ClientKey, Refused
from vending.postgres.pool import Connection
from vending.vendors import credentials
from vending.vendors.credentials import Grant, Issued
from vending.vendors.seals import Seals

PUBLIC_URL = "https://vend.example"
FETCH = ("POST", "/oauth/token")
KEYS: dict[str, signers.Key] = {
    "ed25519": OKPKey.generate_key("Ed25519"),
    "p256": ECKey.generate_key("P-256", {"kid": "till-7"}),
    "p384": ECKey.generate_key("P-384"),
    "rsa": RSAKey.generate_key(2048),
}


@pytest.fixture
async def client_id(
    office: Connection, seals: Seals, clock: SettableClock, acme_key: Issued
) -> str:
    """Give acme an OAuth client that signs with any of the keys."""
    assert acme_key.credential.vendor_id == "acme"
    issued = await credentials.add_client(
        office, "acme", Grant(), key_set=signers.public(*KEYS.values()), seals=seals,
        who="Jane", now=clock(),
    )  # fmt: skip
    return issued.credential.name


@pytest.fixture
async def strict(
    serve: Serve, database: Database, market: Market, client_id: str
) -> AsyncIterator[Between]:
    """Stand before a server that is known by another address and takes signed requests only."""
    assert client_id.startswith("acme.")
    sections = settings(database, public_url=PUBLIC_URL, signatures="required")
    async with (
        serve(sequencer=market.lane.sequencer, **sections) as served,
        between(served.url) as path,
    ):
        yield path


def pem(key: signers.Key) -> str:
    return key.as_pem(private=True).decode()


def jwk(key: signers.Key) -> str:
    return json.dumps(key.as_dict(private=True))


Signs = Callable[..., Any]


@pytest.fixture
def signs(connect: Connect, strict: Between, client_id: str, clock: SettableClock) -> Signs:
    def connected(key: str, **more: Any) -> Any:
        given: dict[str, Any] = {"signs": True, "public_url": PUBLIC_URL} | more
        access = ClientKey(client_id, key, **given)
        return connect(strict.url, access, wall=lambda: clock().timestamp())

    return connected


@pytest.mark.parametrize("kind", KEYS)
async def test_any_kind_of_key_proves_who_one_is_and_signs_every_request(
    signs: Signs, meter: str, market: Market, kind: str
) -> None:
    # PEM has no room for a name, so the client says what the utility calls the key.
    acme = signs(pem(KEYS[kind]), kid=KEYS[kind].kid or "")
    sale = await acme.sell("S1", meter=meter, amount_minor=PRICE)
    assert await acme.find("S1") == sale
    assert [line.reference async for line in acme.statement()][-1] == "S1"
    assert await market.tokens() == 1


async def test_a_json_web_key_brings_its_own_name(signs: Signs, meter: str) -> None:
    assert (await signs(jwk(KEYS["p256"])).look_up(meter)).meter == meter


async def test_a_sale_that_is_tried_again_is_signed_anew(
    signs: Signs, strict: Between, meter: str, market: Market
) -> None:
    acme = signs(jwk(KEYS["ed25519"]))
    strict.trouble.extend([Loss.ANSWER, Loss.ANSWER, Loss.ANSWER])
    sale = await acme.sell("S1", meter=meter, amount_minor=PRICE)
    assert strict.seen[:2] == [FETCH, FETCH]
    assert len(strict.seen) > 4
    assert (await acme.settle("S1")).token == sale.token
    assert await market.tokens() == 1


async def test_a_client_that_does_not_sign_is_told_so(signs: Signs, meter: str) -> None:
    with pytest.raises(Refused) as refused:
        await signs(jwk(KEYS["p256"]), signs=False).look_up(meter)
    assert refused.value.code == "signature_missing"


async def test_what_is_signed_for_another_address_is_refused(
    signs: Signs, strict: Between, meter: str
) -> None:
    with pytest.raises(Refused) as refused:
        await signs(jwk(KEYS["p256"]), public_url="").look_up(meter)
    assert (refused.value.code, refused.value.status) == ("assertion_refused", 401)
    assert strict.seen == [FETCH]


async def test_a_key_that_the_utility_does_not_have_is_refused_at_once(
    signs: Signs, strict: Between, meter: str
) -> None:
    stranger = ECKey.generate_key("P-256", {"kid": "till-7"})
    with pytest.raises(Refused) as refused:
        await signs(jwk(stranger)).look_up(meter)
    assert refused.value.code == "assertion_refused"
    assert strict.seen == [FETCH]


async def test_a_clock_that_is_wrong_is_said_to_be(
    connect: Connect, strict: Between, client_id: str, clock: SettableClock, meter: str
) -> None:
    access = ClientKey(client_id, jwk(KEYS["p256"]), public_url=PUBLIC_URL)
    slow = connect(strict.url, access, wall=lambda: clock().timestamp() - 3600)
    with pytest.raises(Refused) as refused:
        await slow.look_up(meter)
    assert "expired" in refused.value.title + refused.value.detail


async def test_a_token_is_fetched_by_key_once_and_again_when_it_has_run_out(
    signs: Signs, strict: Between, clock: SettableClock
) -> None:
    acme = signs(jwk(KEYS["p256"]), scopes=("account",))
    await acme.read_float()
    await acme.read_float()
    clock.advance(hours=2)
    await acme.read_float()
    assert Counter(strict.seen)[FETCH] == 2


@pytest.mark.parametrize(
    "key",
    [
        "nonsense",
        "{}",
        "[]",
        '{"kty":"EC"}',
        "-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----",
        json.dumps(KEYS["p256"].as_dict(private=False)),
        KEYS["rsa"].as_pem(private=False).decode(),
        json.dumps(OctKey.generate_key(256).as_dict(private=True)),
        jwk(ECKey.generate_key("P-521")),
    ],
    ids=["text", "empty", "list", "type_alone", "no_pem", "public", "public_pem", "shared", "p521"],
)
def test_what_is_no_private_key_to_sign_with_is_told_at_once(key: str) -> None:
    with pytest.raises(ValueError, match=r"private key|PEM") as fault:
        ClientKey("acme.x", key)
    assert fault.value.__suppress_context__ or fault.value.__cause__ is None
    assert key not in str(fault.value)


def test_a_key_is_in_no_repr() -> None:
    key = KEYS["p256"]
    access = ClientKey("acme.x", jwk(key))
    shown = f"{access!r} {access._key!r} {access.proof('https://a', at=1.0)!r}"
    assert str(key.as_dict(private=True)["d"]) not in shown
    assert "acme.x" in shown
