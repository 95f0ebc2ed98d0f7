"""Signing with a vendor's private key: requests, by RFC 9421 and 9530; and what JOSE calls it.

A signature covers the method, the address, the Authorization header and, by Content-Digest, the
body. See docs/reference/http-api.md.
"""

import base64
import hashlib
from typing import Any
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    SECP384R1,
    EllipticCurvePrivateKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

LABEL = "sig1"


class PrivateKey:
    """A private key that signs. `jose` and `http` are what JWT and RFC 9421 call its algorithm."""

    def __init__(self, jwk: ECKey | OKPKey | RSAKey, *, kid: str) -> None:
        self.jwk = jwk
        self.kid = kid or jwk.kid or jwk.thumbprint()
        self._private: Any = jwk.private_key
        match self._private:
            case Ed25519PrivateKey():
                self.jose, self.http = "Ed25519", "ed25519"
            case EllipticCurvePrivateKey(curve=SECP256R1()):
                self.jose, self.http = "ES256", "ecdsa-p256-sha256"
            case EllipticCurvePrivateKey(curve=SECP384R1()):
                self.jose, self.http = "ES384", "ecdsa-p384-sha384"
            case RSAPrivateKey():
                self.jose, self.http = "PS256", "rsa-pss-sha512"
            case _:
                raise ValueError("a private key: EC on P-256 or P-384, Ed25519, or RSA")

    def __repr__(self) -> str:
        return f"PrivateKey({self.kid!r}, ...)"

    @classmethod
    def read(cls, text: str, *, kid: str = "") -> "PrivateKey":
        """Return the key of a PEM text or a JSON Web Key. Raises ValueError; it shows no key."""
        reading = _of_pem if text.lstrip().startswith("-----") else _of_json
        return cls(reading(text), kid=kid)

    def sign(self, text: bytes) -> bytes:
        """Return a signature by RFC 9421, 3.3."""
        match self._private:
            case Ed25519PrivateKey() as key:
                return key.sign(text)
            case RSAPrivateKey() as key:
                pss = padding.PSS(mgf=padding.MGF1(hashes.SHA512()), salt_length=64)
                return key.sign(text, pss, hashes.SHA512())
            case key:
                small = self.jose == "ES256"
                size, digest = (32, hashes.SHA256()) if small else (48, hashes.SHA384())
                halves = decode_dss_signature(key.sign(text, ECDSA(digest)))
                return b"".join(half.to_bytes(size, "big") for half in halves)


def signature(
    key: PrivateKey,
    method: str,
    url: str,
    *,
    headers: dict[str, str],
    body: bytes,
    created: int,
    nonce: str,
) -> dict[str, str]:
    """Return the headers that sign a request to a URL which has an Authorization in `headers`."""
    parts = urlsplit(url)
    covered = {"@method": method, "@authority": parts.netloc.lower(), "@path": parts.path}
    if parts.query:
        covered["@query"] = f"?{parts.query}"
    covered["authorization"] = headers["Authorization"]
    told = {}
    if body:
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        told["Content-Digest"] = covered["content-digest"] = f"sha-256=:{digest}:"
    names = " ".join(f'"{name}"' for name in covered)
    params = f'({names});created={created};nonce="{nonce}";keyid="{key.kid}";alg="{key.http}"'
    lines = [f'"{name}": {value}' for name, value in covered.items()]
    text = "\n".join([*lines, f'"@signature-params": {params}']).encode()
    signed = base64.b64encode(key.sign(text)).decode()
    return told | {"Signature-Input": f"{LABEL}={params}", "Signature": f"{LABEL}=:{signed}:"}


def _of_pem(text: str) -> ECKey | OKPKey | RSAKey:
    for kind in (ECKey, OKPKey, RSAKey):
        try:
            return kind.import_key(text)
        except (JoseError, ValueError, TypeError, AttributeError):
            continue
    raise ValueError("no private key is in this PEM")


def _of_json(text: str) -> ECKey | OKPKey | RSAKey:
    try:
        (key,) = KeySet.import_key_set({"keys": [msgspec.json.decode(text)]}).keys
    except (JoseError, msgspec.MsgspecError, ValueError, TypeError, KeyError, AttributeError):
        raise ValueError("neither a JSON Web Key nor PEM") from None
    if not isinstance(key, ECKey | OKPKey | RSAKey):
        raise ValueError("a private key: EC on P-256 or P-384, Ed25519, or RSA")  # noqa: TRY004
    return key
