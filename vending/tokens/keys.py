"""Custody of vending keys: a sealed file that opens straight into the Rust core.

Each key is sealed by itself with AES-256-GCM under a key derived from the passphrase by Argon2id,
and its description (supply group, revision, type, algorithm, base date, expiry, check value) is
the associated data: a description moved to another key does not open. Opened bytes go into the
core's key ring at once and the buffer is wiped; afterwards only check values come out (P7).

A software key store cannot be certified for production keys of a key management centre. It serves
meters whose vending keys the operator holds itself.
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import msgspec
import sts_core
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from vending.errors import Rejected, Unavailable

_SALT_BYTES = 16
_NONCE_BYTES = 12


class KeyStoreMissing(Unavailable):
    """There is no key store at the configured place.

    Make one with `vending keys add`, or set [keys] store.
    """

    code = "key_store_missing"


class KeyStoreSealed(Unavailable):
    """The key store does not open with the passphrase given, or has been altered.

    Set STIMA_KEYS__PASSPHRASE; if it is right, restore the file from its backup.
    """

    code = "key_store_sealed"


class KeyRefused(Rejected):
    """The vending key cannot be accepted; `rule` says which rule it breaks.

    Check the key, its parity and its check value (KCV) against the letter it came with.
    """

    code = "key_refused"


class KeyExists(Rejected):
    """The store already holds a key for this supply group, revision and type.

    A key is never replaced; a new one comes under the next key revision number.
    """

    code = "key_exists"


class KeyStoreUnusable(Unavailable):
    """The key store cannot be read or written.

    `fault` says why: the file's owner and rights, or a disk that is full. What was in the store
    is still there.
    """

    code = "key_store_unusable"


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What a vending key is, without its bytes; `kcv` is its check value in hex."""

    sgc: str
    krn: int
    key_type: int
    dkga: str
    base_date: str
    ken: int
    kcv: str = ""


class _Sealed(msgspec.Struct, frozen=True, kw_only=True):
    description: Description
    nonce: bytes
    box: bytes


class _Store(msgspec.Struct, frozen=True, kw_only=True):
    form: int = 1
    salt: bytes
    keys: list[_Sealed] = []


@dataclass(frozen=True, slots=True)
class KeyStore:
    """A sealed key store file."""

    path: Path

    def add(self, description: Description, key: bytearray, *, passphrase: str) -> Description:
        """Seal one more key and return its description with its check value.

        `description.kcv`, when given, must be the key's. `key` is wiped. Raises KeyRefused,
        KeyExists, KeyStoreUnusable, and KeyStoreSealed when the passphrase is not the store's.
        """
        if not passphrase:
            raise KeyStoreSealed(file=str(self.path))
        store = (
            self._read() if self.path.exists() else _Store(salt=secrets.token_bytes(_SALT_BYTES))
        )
        cipher = _cipher(passphrase, store.salt)
        ring = sts_core.KeyRing()
        for sealed in store.keys:
            _load(ring, sealed.description, self._open(cipher, sealed))
            if _slot(sealed.description) == _slot(description):
                raise KeyExists(sgc=description.sgc, krn=description.krn)
        plain = bytearray(key)
        kcv = _load(ring, description, key)
        described = msgspec.structs.replace(description, kcv=kcv)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        box = cipher.encrypt(nonce, plain, msgspec.json.encode(described))
        plain[:] = bytes(len(plain))
        self._write(
            msgspec.structs.replace(
                store, keys=[*store.keys, _Sealed(description=described, nonce=nonce, box=box)]
            )
        )
        return described

    def descriptions(self) -> list[Description]:
        """Return what the store says it holds; no passphrase is needed and nothing is proved."""
        return [sealed.description for sealed in self._read().keys]

    def open(self, *, passphrase: str) -> sts_core.KeyRing:
        """Return a ring with every key. Raises KeyStoreMissing, -Sealed or -Unusable."""
        store = self._read()
        cipher = _cipher(passphrase, store.salt)
        ring = sts_core.KeyRing()
        for sealed in store.keys:
            _load(ring, sealed.description, self._open(cipher, sealed))
        return ring

    def _open(self, cipher: AESGCM, sealed: _Sealed) -> bytearray:
        try:
            plain = cipher.decrypt(
                sealed.nonce, sealed.box, msgspec.json.encode(sealed.description)
            )
        except InvalidTag:
            raise KeyStoreSealed(file=str(self.path)) from None
        return bytearray(plain)

    def _read(self) -> _Store:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=_Store)
        except FileNotFoundError:
            raise KeyStoreMissing(file=str(self.path)) from None
        except OSError as fault:
            raise KeyStoreUnusable(file=str(self.path), fault=fault.strerror) from None
        except msgspec.MsgspecError:
            raise KeyStoreSealed(file=str(self.path)) from None

    def _write(self, store: _Store) -> None:
        """Replace the file so that a power cut leaves the old one or the new one, whole."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            draft = self.path.with_suffix(".new")
            with os.fdopen(
                os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb"
            ) as file:
                file.write(msgspec.json.format(msgspec.json.encode(store)))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
            directory = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as fault:
            raise KeyStoreUnusable(file=str(self.path), fault=fault.strerror) from None


def ring_of(description: Description, key: bytearray) -> sts_core.KeyRing:
    """Return a ring with one key that lies in no store; its bytes are wiped. Raises KeyRefused."""
    ring = sts_core.KeyRing()
    _load(ring, description, key)
    return ring


def _slot(description: Description) -> tuple[str, int, int]:
    return description.sgc, description.krn, description.key_type


def _cipher(passphrase: str, salt: bytes) -> AESGCM:
    kdf = Argon2id(salt=salt, length=32, iterations=3, lanes=4, memory_cost=64 * 1024)
    return AESGCM(kdf.derive(passphrase.encode()))


def _load(ring: sts_core.KeyRing, description: Description, key: bytearray) -> str:
    try:
        return ring.load(
            sgc=description.sgc,
            krn=description.krn,
            key_type=description.key_type,
            dkga=description.dkga,
            base_date=description.base_date,
            ken=description.ken,
            key=key,
            kcv=description.kcv or None,
        )
    except sts_core.StsError as fault:
        raise KeyRefused(sgc=description.sgc, krn=description.krn, rule=fault.code) from None
