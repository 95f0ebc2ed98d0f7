"""Secrets at rest: sealed under a passphrase, each bound to the row it lies in.

The key is derived from the passphrase by Argon2id with a salt of the database's own; each secret is
sealed with AES-256-GCM, and what it is (whose, for which endpoint, by which scheme) is the
associated data: a secret moved to another endpoint does not open. The passphrase is that of the
webhooks, or else that of the vending keys; a copy of the database alone signs nothing.
"""

import asyncio
import secrets
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from vending.errors import Unavailable
from vending.postgres.pool import Session
from vending.webhooks.signing import Scheme, Secret

READ_SEAL = """
select salt, proof from webhook_seal where seal = 1
"""

KEEP_SEAL = """
insert into webhook_seal (seal, salt, proof, created_at) values (1, $1, $2, $3)
on conflict do nothing
"""

_SALT_BYTES = 16
_NONCE_BYTES = 12
_PROOF = b"stima webhooks"


class WebhookSecretsSealed(Unavailable):
    """The secrets that webhooks are signed with do not open.

    Set STIMA_WEBHOOKS__PASSPHRASE, or STIMA_KEYS__PASSPHRASE where the two are the same, to the
    passphrase they were first sealed with. Until then nothing is delivered and events wait.
    """

    code = "webhook_secrets_sealed"


class Seal:
    """Seals secrets and opens them; holds a key and shows none."""

    def __init__(self, passphrase: str, salt: bytes) -> None:
        # One lane: with more, two derivations at one time in one process wait for each other's
        # threads for ever.
        kdf = Argon2id(salt=salt, length=32, iterations=3, lanes=1, memory_cost=64 * 1024)
        self._cipher = AESGCM(kdf.derive(passphrase.encode()))

    def seal(self, secret: Secret, *, secret_id: int, endpoint_id: int) -> bytes:
        """Return a secret as it may lie in the database, in the row it is meant for."""
        return self._shut(secret.material, _place(secret.scheme, secret_id, endpoint_id))

    def open(self, sealed: bytes, *, scheme: Scheme, secret_id: int, endpoint_id: int) -> Secret:
        """Return the secret of a row. Raises WebhookSecretsSealed."""
        place = _place(scheme, secret_id, endpoint_id)
        return Secret(scheme=scheme, material=self._opened(sealed, place))

    def proof(self) -> bytes:
        """Return a box that only the same passphrase opens."""
        return self._shut(_PROOF, _PROOF)

    def prove(self, proof: bytes) -> None:
        """Raise WebhookSecretsSealed unless this seal made the proof."""
        self._opened(proof, _PROOF)

    def _shut(self, plain: bytes, place: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, place)

    def _opened(self, sealed: bytes, place: bytes) -> bytes:
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place)
        except (InvalidTag, ValueError):
            raise WebhookSecretsSealed(fault="another passphrase, or an altered row") from None


async def opened(db: Session, *, passphrase: str, now: datetime) -> Seal:
    """Return the seal of this database; the first passphrase ever given is the one.

    Takes a tenth of a second of one processor, in a thread. Raises WebhookSecretsSealed.
    """
    if not passphrase:
        raise WebhookSecretsSealed(fault="no passphrase is set")
    rows = await db.fetch(READ_SEAL)
    if not rows:
        salt = secrets.token_bytes(_SALT_BYTES)
        made = await asyncio.to_thread(Seal, passphrase, salt)
        await db.fetch(KEEP_SEAL, salt, made.proof(), now)
        rows = await db.fetch(READ_SEAL)  # another server's, if it was quicker
    seal = await asyncio.to_thread(Seal, passphrase, rows[0]["salt"])
    seal.prove(rows[0]["proof"])
    return seal


def _place(scheme: Scheme, secret_id: int, endpoint_id: int) -> bytes:
    return f"{scheme} {secret_id} {endpoint_id}".encode()
