"""Signed requests: believed once, from a clock near ours, for exactly what was signed."""

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests.api.conftest import Reply, Serve
from tests.api.v1.conftest import Caller, settings
from tests.api.v1.test_callers import refused
from tests.conftest import SettableClock
from tests.database import Database
from tests.vendors import signers
from vending.api.v1 import signatures
from vending.api.v1.signatures import SignatureRefused
from vending.postgres.pool import Connection
from vending.vendors import access_tokens, credentials
from vending.vendors.credentials import Grant, Issued
from vending.vendors.seals import Seals

PUBLIC_URL = "https://vend.example"
SLIP = {"bank": "kcb", "bank_reference": "FT1", "amount_minor": 5}
KEYS: dict[str, signers.Key] = {
    "ed25519": OKPKey.generate_key("Ed25519", {"kid": "ed"}),
    "ecdsa-p256-sha256": ECKey.generate_key("P-256", {"kid": "p256"}),
    "ecdsa-p384-sha384": ECKey.generate_key("P-384", {"kid": "p384"}),
    "rsa-pss-sha512": RSAKey.generate_key(2048, {"kid": "rsa"}),
}
KEYS["rsa-v1_5-sha256"] = KEYS["rsa-pss-sha512"]
PUBLIC_KEYS = signers.public(*{key.kid: key for key in KEYS.values()}.values())


class Signer:
    """A machine of acme's that signs what it sends; it shares no code with what verifies."""

    def __init__(self, caller: Caller, token: str, clock: SettableClock) -> None:
        self.caller, self.token, self.clock = caller, token, clock
        self._nonces = iter(range(1_000_000))

    async def send(
        self,
        method: str = "POST",
        path: str = "/v1/deposits",
        body: object = SLIP,
        *,
        alg: str = "ed25519",
        sent: bytes | None = None,
        **change: Any,
    ) -> Reply:
        """Sign a request and send it; `sent` goes in place of the body that was signed."""
        raw = json.dumps(body).encode() if body is not None else b""
        headers = self.signed(method, path, raw, alg=alg, **change)
        if body is not None:
            headers["Content-Type"] = "application/json"
        more = {"data": raw if sent is None else sent} if body is not None else {}
        return await self.caller.ask(method, path, bearer="", headers=headers, **more)

    def signed(
        self, method: str, path: str, raw: bytes, *, alg: str = "ed25519", **change: Any
    ) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self.token}"}
        parts = {"@method": method, "@target-uri": PUBLIC_URL + path}
        parts["authorization"] = headers["Authorization"]
        if raw:
            digest = base64.b64encode(hashlib.sha256(raw).digest()).decode()
            headers["Content-Digest"] = parts["content-digest"] = f"sha-256=:{digest}:"
        if change.get("split"):
            del parts["@target-uri"]
            target = urlsplit(PUBLIC_URL + path)
            parts |= {"@authority": target.netloc, "@path": target.path, "@scheme": "https"}
            parts["@query"] = f"?{target.query}"
        for name in change.get("without", ()):
            parts.pop(name, None)
        created = int(self.clock().timestamp()) + change.get("late", 0)
        nonce = change.get("nonce", f"n{next(self._nonces)}")
        key = KEYS[alg]
        said = change.get("said") or (
            f';created={created};nonce="{nonce}";keyid="{change.get("keyid", key.kid)}"'
            f';alg="{change.get("named", alg)}"'
        )
        params = "(" + " ".join(f'"{name}"' for name in parts) + ")" + said
        lines = [f'"{name}": {value}' for name, value in parts.items()]
        text = "\n".join([*lines, f'"@signature-params": {params}']).encode()
        signature = base64.b64encode(made(key, alg, text)).decode()
        label = change.get("label", "sig1")
        return headers | {
            "Signature-Input": f"sig1={params}", "Signature": f"{label}=:{signature}:",
        }  # fmt: skip


def made(key: signers.Key, alg: str, text: bytes) -> bytes:
    private: Any = key.private_key
    if alg == "ed25519":
        return cast(bytes, private.sign(text))
    if alg == "rsa-pss-sha512":
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA512()), salt_length=64)
        return cast(bytes, private.sign(text, pss, hashes.SHA512()))
    if alg == "rsa-v1_5-sha256":
        return cast(bytes, private.sign(text, padding.PKCS1v15(), hashes.SHA256()))
    size, digest = (32, hashes.SHA256()) if "256" in alg else (48, hashes.SHA384())
    r, s = decode_dss_signature(private.sign(text, ECDSA(digest)))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


@pytest.fixture
async def token(office: Connection, acme_key: Issued, seals: Seals, clock: SettableClock) -> str:
    """Make a client of acme's with public keys, and a token of it."""
    assert acme_key.credential.vendor_id == "acme"
    client = await credentials.add_client(
        office, "acme", Grant(), key_set=PUBLIC_KEYS, seals=seals, who="J",
        now=clock(),
    )  # fmt: skip
    lasts = timedelta(hours=1)
    return access_tokens.issue(client.credential, lifetime=lasts, seals=seals, now=clock()).text


@pytest.fixture
async def signer(
    serve: Serve, database: Database, token: str, acme_key: Issued, clock: SettableClock
) -> AsyncIterator[Signer]:
    demanded = settings(database, signatures="required", public_url=PUBLIC_URL)
    async with serve(**demanded) as served:
        yield Signer(Caller(served, "acme", acme_key.secret), token, clock)


@pytest.mark.parametrize("alg", KEYS)
async def test_a_signed_request_is_believed_once(signer: Signer, alg: str) -> None:
    assert (await signer.send(alg=alg, nonce="once")).status == 201
    refused(await signer.send(alg=alg, nonce="once"), 401, "signature_repeated")
    assert (await signer.send(alg=alg)).status == 200
    assert (await signer.send("GET", "/v1/deposits?limit=1", None, alg=alg)).status == 200
    assert (await signer.send("GET", "/v1/deposits?limit=1", None, split=True)).status == 200


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"late": -301}, "clock"),
        ({"late": 301}, "clock"),
        ({"said": ';nonce="a";keyid="ed"'}, "clock"),
        ({"nonce": ""}, "nonce"),
        ({"keyid": "other"}, "key"),
        ({"keyid": "p256"}, "signature"),
        ({"named": "hmac-sha256"}, "key"),
        ({"without": ["@method"]}, "not covered: @method"),
        ({"without": ["@target-uri"]}, "not covered: @authority @path"),
        ({"without": ["authorization"]}, "not covered: authorization"),
        ({"without": ["content-digest"]}, "not covered: content-digest"),
        ({"sent": b'{"bank":"kcb","bank_reference":"FT1","amount_minor":500}'}, "digest"),
        ({"label": "other"}, "unreadable"),
        ({"said": ";created=1;nonce=('a')"}, "unreadable"),
    ],
)
async def test_a_signature_that_is_wrong_in_any_part_is_refused(
    signer: Signer, change: dict[str, Any], reason: str
) -> None:
    reply = await signer.send(**change)
    refused(reply, 401, "signature_refused")
    assert f"reason={reason}" in reply.json["detail"]


async def test_what_was_signed_for_one_path_is_not_good_for_another(signer: Signer) -> None:
    headers = signer.signed("GET", "/v1/float", b"")
    assert (await signer.caller.get("/v1/float", bearer="", headers=headers)).status == 200
    headers = signer.signed("GET", "/v1/float", b"")
    refused(await signer.caller.get("/v1/webhooks", bearer="", headers=headers), 401,
            "signature_refused")  # fmt: skip


async def test_where_signatures_are_demanded_none_is_not_enough(signer: Signer) -> None:
    refused(await signer.caller.get("/v1/float", bearer=signer.token), 401, "signature_missing")
    reply = await signer.caller.get("/v1/float")
    refused(reply, 401, "signature_refused")
    assert "an API key signs nothing" in reply.json["detail"]


async def test_a_signature_that_is_offered_is_verified(
    serve: Serve, database: Database, token: str, acme_key: Issued, clock: SettableClock
) -> None:
    offered = settings(database, signatures="offered", public_url=PUBLIC_URL)
    async with serve(**offered) as served:
        signer = Signer(Caller(served, "acme", acme_key.secret), token, clock)
        assert (await signer.caller.get("/v1/float")).status == 200
        assert (await signer.send()).status == 201
        refused(await signer.send(late=-900), 401, "signature_refused")


def test_the_standard_s_own_example_is_verified() -> None:
    """RFC 9421, B.2.6: signing a request using ed25519."""
    key = {"kty": "OKP", "crv": "Ed25519", "kid": "test-key-ed25519",
           "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}  # fmt: skip
    covered = ["date", "@method", "@path", "@authority", "content-type", "content-length"]
    params = (
        '("date" "@method" "@path" "@authority" "content-type" "content-length")'
        ';created=1618884473;keyid="test-key-ed25519"'
    )
    signature = base64.b64decode(
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
    )
    headers = {
        "Date": "Tue, 20 Apr 2021 02:07:55 GMT", "Content-Type": "application/json",
        "Content-Length": "18",
    }  # fmt: skip
    request: web.Request = make_mocked_request("POST", "/foo?param=Value&Pet=dog", headers=headers)
    text = signatures.base(request, covered, params, public_url="https://example.com")
    said = {"keyid": "test-key-ed25519"}
    key_set = json.dumps({"keys": [key]})
    signatures.verify(key_set, said, signature=signature, text=text)
    with pytest.raises(SignatureRefused):
        signatures.verify(key_set, said, signature=signature, text=text + b" ")
