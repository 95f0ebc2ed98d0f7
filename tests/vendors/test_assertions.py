"""A client signs in: by its own key, for us, for a short time, once."""

import base64
import warnings
from datetime import timedelta
from typing import Any

import pytest
from joserfc.jwk import OctKey, OKPKey, RSAKey

from tests.conftest import SettableClock
from tests.vendors.signers import AUDIENCE, Key, a_key, public, signed
from vending.postgres.pool import Connection
from vending.vendors import assertions
from vending.vendors.assertions import AssertionRefused, AssertionRepeated
from vending.vendors.credentials import Credential, CredentialKind
from vending.vendors.key_sets import KeySetMalformed, parse

NAME = "acme.abcdefgh"
OURS = frozenset({AUDIENCE, "https://vend.example"})


def a_weak_key() -> RSAKey:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return RSAKey.generate_key(1024)


def a_client(*keys: Key, clock: SettableClock) -> Credential:
    return Credential(
        kind=CredentialKind.CLIENT, name=NAME, vendor_id="acme", label="", scopes=frozenset(),
        sandbox=False, issued_at=clock(), key_set=parse(public(*keys)),
    )  # fmt: skip


@pytest.mark.parametrize("alg", ["ES256", "PS256", "RS256", "Ed25519", "EdDSA"])
def test_a_client_signs_with_what_its_library_has(alg: str, clock: SettableClock) -> None:
    key: Key
    if alg.startswith("Ed"):
        key = OKPKey.generate_key("Ed25519", {"kid": "k1"})
    elif alg.startswith("ES"):
        key = a_key()
    else:
        key = RSAKey.generate_key(2048, {"kid": "k1"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assertion = signed(key, NAME, now=clock(), alg=alg)
    client = a_client(key, clock=clock)
    assert assertions.claimed_client(assertion) == NAME
    assert assertions.verified(client, assertion, audience=OURS, now=clock())[0] == "one"


def test_either_key_of_a_rotation_signs(clock: SettableClock) -> None:
    old, new = a_key("old"), a_key("new")
    client = a_client(old, new, clock=clock)
    for key in (old, new):
        assertion = signed(key, NAME, now=clock())
        assertions.verified(client, assertion, audience=OURS, now=clock())


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iss": "other"}, "invalid_claim: iss"),
        ({"sub": "other"}, "invalid_claim: sub"),
        ({"aud": "https://elsewhere.example"}, "invalid_claim: aud"),
        ({"aud": None}, "missing_claim: aud"),
        ({"exp": None}, "missing_claim: exp"),
        ({"exp": "soon"}, "invalid_claim: exp"),
        ({"exp": 1}, "expired_token: exp"),
        ({"exp": 4_000_000_000}, "expires too late"),
        ({"iat": 4_000_000_000}, "invalid_claim: iat"),
        ({"nbf": 4_000_000_000}, "invalid_claim: nbf"),
        ({"jti": None}, "missing_claim: jti"),
        ({"jti": 7}, "invalid_claim: jti"),
        ({"jti": "x" * 129}, "jti"),
        ({"pad": "x" * 9_000}, "too long"),
    ],
)
def test_what_an_assertion_says_must_be_right(
    clock: SettableClock, claims: dict[str, Any], reason: str
) -> None:
    key = a_key()
    assertion = signed(key, NAME, now=clock(), **claims)
    with pytest.raises(AssertionRefused) as refused:
        assertions.verified(a_client(key, clock=clock), assertion, audience=OURS, now=clock())
    assert refused.value.facts == {"reason": reason}


def test_nobody_else_signs_for_a_client(clock: SettableClock) -> None:
    client = a_client(a_key(), clock=clock)
    good = signed(a_key(), NAME, now=clock())
    head, body, signature = good.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    shared = signed(OctKey.import_key("x" * 32, {"kid": "k1"}), NAME, now=clock(), alg="HS256")  # type: ignore[arg-type]
    for forged in (good, f"{head}.{body}.", f"{none}.{body}.", shared, "", "a.b.c", "é", head,
                   f"{head}.{body}.{signature[:-4]}AAAA"):  # fmt: skip
        with pytest.raises(AssertionRefused):
            assertions.verified(client, forged, audience=OURS, now=clock())


def test_a_client_with_a_secret_does_not_sign(clock: SettableClock) -> None:
    client = Credential(
        kind=CredentialKind.CLIENT, name=NAME, vendor_id="acme", label="", scopes=frozenset(),
        sandbox=False, issued_at=clock(), seal=bytes(32),
    )  # fmt: skip
    with pytest.raises(AssertionRefused):
        assertions.verified(client, signed(a_key(), NAME, now=clock()), audience=OURS, now=clock())


@pytest.mark.parametrize("text", ["", "a", "a.b", "a.!!.c", "a.e30.c", "a.W10.c"])
def test_an_unreadable_assertion_is_nobodys(text: str) -> None:
    with pytest.raises(AssertionRefused):
        assertions.claimed_client(text)


async def test_an_assertion_counts_once_for_all_processes(
    app: Connection, clock: SettableClock
) -> None:
    key = a_key()
    client = a_client(key, clock=clock)
    assertion = signed(key, NAME, now=clock())
    await assertions.prove(app, client, assertion, audience=OURS, now=clock())
    with pytest.raises(AssertionRepeated):
        await assertions.prove(app, client, assertion, audience=OURS, now=clock())
    other = signed(key, NAME, now=clock(), jti="two")
    await assertions.prove(app, client, other, audience=OURS, now=clock())


async def test_what_would_have_expired_is_forgotten(app: Connection, clock: SettableClock) -> None:
    key = a_key()
    client = a_client(key, clock=clock)
    await assertions.prove(app, client, signed(key, NAME, now=clock()), audience=OURS, now=clock())
    clock.now += timedelta(minutes=5)
    later = signed(key, NAME, now=clock(), jti="later")
    await assertions.prove(app, client, later, audience=OURS, now=clock())
    assert [row["jti"] for row in await app.fetch("select jti from assertion_used")] == ["later"]


def test_public_keys_are_taken_as_a_set_one_key_or_pem() -> None:
    key = a_key()
    rsa = RSAKey.generate_key(2048)
    pems = [key.as_pem(private=False).decode(), rsa.as_pem(private=False).decode(),
            OKPKey.generate_key("Ed25519").as_pem(private=False).decode()]  # fmt: skip
    for text in (public(key), public(rsa), *pems):
        assert '"kid":' in parse(text)
    assert parse(parse(public(key))) == parse(public(key))


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "7", '{"keys":[]}', '{"keys":[7]}', '{"keys":7}',
        public(*[a_key(str(place)) for place in range(5)]),
        public(a_weak_key()),
        '{"kty":"oct","k":"c2VjcmV0"}', '{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}',
        '{"kty":"OKP","crv":"X25519","x":"AA"}', '{"kty":"EC"}', '{"kty":"what"}',
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", " " * 20_000,
    ],
)  # fmt: skip
def test_what_nobody_can_sign_in_with_is_refused(text: str) -> None:
    with pytest.raises(KeySetMalformed):
        parse(text)


def test_a_private_key_is_refused_and_not_repeated() -> None:
    key = a_key()
    for text in (
        key.as_pem(private=True).decode(),
        str(key.as_dict(private=True)).replace("'", '"'),
    ):
        with pytest.raises(KeySetMalformed, match="reason=private") as refused:
            parse(text)
        assert str(key.as_dict(private=True)["d"]) not in str(refused.value)
