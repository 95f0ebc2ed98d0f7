"""What vendors' secrets are sealed and their access tokens signed with.

Both keys are derived (HKDF-SHA256) from one configured secret. A vendor's key or client secret has
256 random bits, so no slow hash is called for; the seal is an HMAC all the same, so that somebody
who can write to the database, and no more, cannot plant a key of his own. While the configured
secret is being replaced the one before it is believed as well.
"""

import hashlib
import hmac

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc.jwk import KeySet, OctKey

from vending.errors import Unavailable

_KEY_BYTES = 32
_KEY_ID_DIGITS = 16


class VendorsClosed(Unavailable):
    """This server has no secret to know vendors by.

    A command needs the settings of its server: give `--config FILE`, or set STIMA_CONFIG (beside
    `make run` it is .stima/stima.toml). For a server without one, set STIMA_VENDORS__SECRET to at
    least 32 random characters, the same on every server and for the command line.
    """

    code = "vendors_closed"


class Seals:
    """The keys derived from the configured secret, and from the one before it if there is one."""

    def __init__(self, secret: str, previous: str = "") -> None:
        """Derive the keys. Raises VendorsClosed when there is no secret."""
        if not secret:
            raise VendorsClosed
        secrets = [secret, previous] if previous else [secret]
        self._peppers = [_derived(one, purpose=b"stima vendor credentials") for one in secrets]
        keys = [_derived(one, purpose=b"stima access tokens") for one in secrets]
        signers = [
            OctKey.import_key(key, {"kid": hashlib.sha256(key).hexdigest()[:_KEY_ID_DIGITS]})
            for key in keys
        ]
        self.signer = signers[0]
        self.verifiers = KeySet([*signers])

    def __repr__(self) -> str:
        return f"Seals({len(self._peppers)} secrets)"

    def seal(self, secret: str) -> bytes:
        """Return what is stored in place of a secret."""
        return _sealed(self._peppers[0], secret)

    def fits(self, secret: str, seal: bytes) -> bool:
        """Whether a secret is the one that was sealed, in a time that does not tell how nearly."""
        verdicts = [hmac.compare_digest(_sealed(one, secret), seal) for one in self._peppers]
        return any(verdicts)


def _sealed(pepper: bytes, secret: str) -> bytes:
    return hmac.digest(pepper, secret.encode(), "sha256")


def _derived(secret: str, *, purpose: bytes) -> bytes:
    kdf = HKDF(algorithm=hashes.SHA256(), length=_KEY_BYTES, salt=None, info=purpose)
    return kdf.derive(secret.encode())
