"""Signed requests: HTTP Message Signatures (RFC 9421) by the public keys of an OAuth client.

Who signs cannot say later that it was somebody else, and a stolen token alone moves nothing. One
signature covers the method, the target, the Authorization header and, by Content-Digest (RFC 9530),
the body; it says when it was `created`, and a `nonce` that counts once on all servers. What is
read of the two headers is the plain form that signers write; anything else is refused.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    SECP384R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from vending.errors import Rejected
from vending.postgres.pool import Session
from vending.vendors import assertions, key_sets
from vending.vendors.credentials import Credential

INPUT: Final = "Signature-Input"
SIGNATURE: Final = "Signature"
DIGEST: Final = "Content-Digest"

SKEW: Final = timedelta(minutes=5)
"""How far `created` may be from our clock; a till's clock is set by its network."""

NONCE_LETTERS_MAX: Final = 100

_LABEL = r"[a-z*][a-z0-9_.*-]{0,31}"
_COMPONENT = r'"[@a-z][a-z0-9-]{0,63}"'
_INPUT = re.compile(
    rf"(?P<label>{_LABEL})=(?P<params>\((?P<covered>{_COMPONENT}(?: {_COMPONENT}){{0,15}})\)"
    r'(?P<said>(?:;[a-z]{1,16}=(?:[0-9]{1,12}|"[ -!#-\[\]-~]{0,128}"))*))'
)
_SAID = re.compile(r';([a-z]{1,16})=(?:([0-9]{1,12})|"([ -!#-\[\]-~]{0,128})")')
_SIGNATURE = re.compile(rf"({_LABEL})=:([A-Za-z0-9+/=]{{1,1024}}):")
_DIGEST = re.compile(r"(sha-256|sha-512)=:([A-Za-z0-9+/=]{1,128}):")

_DIGESTS: Final[dict[str, Callable[[bytes], Any]]] = {
    "sha-256": hashlib.sha256,
    "sha-512": hashlib.sha512,
}


class SignatureMissing(Rejected):
    """This server takes signed requests only.

    Sign with a key of your OAuth client: docs/reference/http-api.md says what is covered.
    """

    code = "signature_missing"


class SignatureRefused(Rejected):
    """The signature of the request cannot be believed.

    `reason` says why: unreadable, not covered, key, clock, nonce, digest, signature. Sign each
    request anew.
    """

    code = "signature_refused"


class SignatureRepeated(Rejected):
    """This signature's nonce was used before.

    Sign each request anew, with another nonce.
    """

    code = "signature_repeated"


async def believe(
    db: Session,
    request: web.Request,
    body: bytes,
    *,
    client: Credential,
    public_url: str,
    now: datetime,
) -> None:
    """Believe that a client has signed a request, once.

    Raises SignatureMissing, SignatureRefused, SignatureRepeated.
    """
    nonce, created = verified(request, body, client=client, public_url=public_url, now=now)
    expires = created + 2 * SKEW
    if not await db.fetch(assertions.USE, client.name, f"nonce {nonce}", expires, now):
        raise SignatureRepeated


def verified(
    request: web.Request, body: bytes, *, client: Credential, public_url: str, now: datetime
) -> tuple[str, datetime]:
    """Return a signature's nonce and when it was made.

    Raises SignatureMissing, SignatureRefused.
    """
    if INPUT not in request.headers and SIGNATURE not in request.headers:
        raise SignatureMissing
    if client.key_set is None:
        raise SignatureRefused(reason="key: this client has a secret and no public keys")
    described = _INPUT.fullmatch(_one(request, INPUT))
    signed = _SIGNATURE.fullmatch(_one(request, SIGNATURE))
    if described is None or signed is None or described["label"] != signed[1]:
        raise SignatureRefused(reason="unreadable")
    said = {name: number or text for name, number, text in _SAID.findall(described["said"])}
    covered = re.findall(r'"([^"]+)"', described["covered"])
    _require_covered(covered, request, body)
    created = _created(said, now=now)
    nonce = said.get("nonce", "")
    if not 1 <= len(nonce) <= NONCE_LETTERS_MAX:
        raise SignatureRefused(reason="nonce")
    text = base(request, covered, described["params"], public_url=public_url)
    verify(client.key_set, said, signature=_unpacked(signed[2]), text=text)
    return nonce, created


def base(request: web.Request, covered: list[str], params: str, *, public_url: str) -> bytes:
    """Return what is signed (RFC 9421, 2.5): a line for each covered component, and the last."""
    lines = [f'"{name}": {_value(name, request, public_url)}' for name in covered]
    return "\n".join([*lines, f'"@signature-params": {params}']).encode()


def _require_covered(covered: list[str], request: web.Request, body: bytes) -> None:
    """Raise SignatureRefused unless what matters of a request is signed, each thing once."""
    needed = {"@method", "authorization"}
    if "@target-uri" not in covered:
        needed |= {"@authority", "@path"} | (
            {"@query"} if request.rel_url.raw_query_string else set()
        )
    if body:
        needed.add("content-digest")
        _check_digest(_one(request, DIGEST), body)
    if len(set(covered)) < len(covered) or not needed <= set(covered):
        raise SignatureRefused(reason=f"not covered: {' '.join(sorted(needed - set(covered)))}")


def _check_digest(header: str, body: bytes) -> None:
    found = _DIGEST.fullmatch(header)
    if found is None or not hmac.compare_digest(
        _DIGESTS[found[1]](body).digest(), _unpacked(found[2])
    ):
        raise SignatureRefused(reason="digest")


def _created(said: dict[str, str], *, now: datetime) -> datetime:
    if not said.get("created", "").isdecimal():
        raise SignatureRefused(reason="clock: created is missing")
    seconds = int(said["created"])
    ends = said.get("expires", "")
    if abs(now.timestamp() - seconds) > SKEW.total_seconds() or (
        ends.isdecimal() and int(ends) < now.timestamp()
    ):
        raise SignatureRefused(reason="clock")
    return datetime.fromtimestamp(seconds, UTC)


def _value(name: str, request: web.Request, public_url: str) -> str:
    """Return what a covered component is (RFC 9421, 2.1 and 2.2)."""
    base = urlsplit(public_url)
    match name:
        case "@method":
            return request.method
        case "@target-uri":
            return f"{base.scheme}://{base.netloc}{request.raw_path}"
        case "@scheme":
            return base.scheme
        case "@authority":
            return base.netloc.lower()
        case "@path":
            return request.rel_url.raw_path
        case "@query":
            return f"?{request.rel_url.raw_query_string}"
        case _ if name.startswith("@"):
            raise SignatureRefused(reason=f"unreadable: {name}")
        case _:
            return _one(request, name)


def _one(request: web.Request, name: str) -> str:
    values = request.headers.getall(name, [])
    if len(values) != 1:
        raise SignatureRefused(reason=f"unreadable: {name.lower()} once")
    return values[0].strip()


def verify(key_set: str, said: dict[str, str], *, signature: bytes, text: bytes) -> None:
    """Verify a signature by the key it names. Raises SignatureRefused."""
    named = [key for key in key_sets.read(key_set).keys if key.kid == said.get("keyid")]
    if not named:
        raise SignatureRefused(reason="key")
    key: Any = named[0].public_key
    try:
        alg = _checked(key, said.get("alg"), signature, text)
    except (InvalidSignature, ValueError):
        raise SignatureRefused(reason="signature") from None
    if said.get("alg", alg) != alg:
        raise SignatureRefused(reason="key: of another algorithm")


def _checked(key: Any, alg: str | None, signature: bytes, text: bytes) -> str:
    """Verify by the key's own algorithm and return its name (RFC 9421, 3.3). Raises."""
    match key:
        case Ed25519PublicKey():
            key.verify(signature, text)
            return "ed25519"
        case EllipticCurvePublicKey(curve=SECP256R1()):
            key.verify(_pair(signature, 32), text, ECDSA(hashes.SHA256()))
            return "ecdsa-p256-sha256"
        case EllipticCurvePublicKey(curve=SECP384R1()):
            key.verify(_pair(signature, 48), text, ECDSA(hashes.SHA384()))
            return "ecdsa-p384-sha384"
        case RSAPublicKey() if alg == "rsa-v1_5-sha256":
            key.verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
            return "rsa-v1_5-sha256"
        case RSAPublicKey():
            pss = padding.PSS(mgf=padding.MGF1(hashes.SHA512()), salt_length=64)
            key.verify(signature, text, pss, hashes.SHA512())
            return "rsa-pss-sha512"
        case _:
            raise InvalidSignature


def _pair(signature: bytes, size: int) -> bytes:
    """Return r and s, which lie side by side, as the library wants them."""
    if len(signature) != 2 * size:
        raise InvalidSignature
    halves = (signature[:size], signature[size:])
    return encode_dss_signature(*(int.from_bytes(half, "big") for half in halves))


def _unpacked(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise SignatureRefused(reason="unreadable") from None
