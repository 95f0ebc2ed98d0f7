"""The register: who may call, in the memory of every process that is called.

It is read whole every second, so a request costs no read of the database and what is revoked or
suspended ends everywhere within seconds. A register that could not be read for `STALE_SECONDS` is
not believed: while the database is away nothing could be sold anyhow.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime

import asyncpg

from vending import log
from vending.errors import Rejected, Unavailable
from vending.postgres.pool import DatabaseUnavailable, Session
from vending.values import Value
from vending.vendors import access_tokens, accounts, credentials
from vending.vendors.access_tokens import ScopeMissing
from vending.vendors.credentials import Credential, CredentialKind, parse_key
from vending.vendors.seals import Seals
from vending.vendors.vendor import (
    Scope,
    Vendor,
    VendorStatus,
    VendorSuspended,
    VendorUnknown,
    require_address,
)

REFRESH_SECONDS = 1.0
STALE_SECONDS = 4.0
"""A revocation takes effect within five seconds: the age of what is believed, and a read."""

_UNREADABLE = (
    DatabaseUnavailable,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)

_NO_SEAL = bytes(32)
"""What the secret of an unknown key is held against, so that it takes as long as a known one's."""


class CredentialRefused(Rejected):
    """The key, or the client and its secret, are not known here.

    Check that it was copied whole, and that it is this server's: a key that has just been issued is
    known within five seconds.
    """

    code = "credential_refused"


class CredentialRevoked(Rejected):
    """This key or client has been revoked.

    Use the one that replaced it, or ask the utility for one.
    """

    code = "credential_revoked"


class CredentialExpired(Rejected):
    """This key or client has expired.

    Ask the utility for a new one.
    """

    code = "credential_expired"


class CertificateMissing(Rejected):
    """The access token is bound to a client certificate that was not shown.

    Call with the certificate the token was fetched with.
    """

    code = "certificate_missing"


class RegisterStale(Unavailable):
    """The server cannot tell at the moment who may still sell.

    Nothing has happened. Ask again in a few seconds.
    """

    code = "register_stale"


class Caller(Value, frozen=True, kw_only=True):
    """Who calls: a vendor, by which credential, for what."""

    vendor: Vendor
    credential: str
    scopes: frozenset[Scope]
    sandbox: bool

    @property
    def vendor_id(self) -> str:
        """The vendor's id."""
        return self.vendor.vendor_id

    @property
    def who(self) -> str:
        """Who it is in the log of acts."""
        return f"{accounts.subject(self.vendor_id)} by {self.credential}"

    @property
    def quota(self) -> str:
        """Whose quota its requests count for: a vendor's sandbox has one of its own."""
        return f"{self.vendor_id} in the sandbox" if self.sandbox else self.vendor_id

    def require(self, scope: Scope) -> None:
        """Raise ScopeMissing unless the credential is for this."""
        if scope not in self.scopes:
            raise ScopeMissing(scope=scope.value)


class Register:
    """Vendors and their credentials as they were at most `STALE_SECONDS` ago."""

    def __init__(
        self, db: Session, *, seals: Seals, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._db = db
        self._seals = seals
        self._steady = steady
        self._as_of: float | None = None
        self._vendors: dict[str, Vendor] = {}
        self._keys: dict[str, Credential] = {}
        self._clients: dict[str, Credential] = {}
        self._stop = asyncio.Event()
        self._log = log.get("register")

    @property
    def current(self) -> bool:
        """Whether what is known is young enough to be believed."""
        return self._as_of is not None and self._steady() - self._as_of <= STALE_SECONDS

    async def refresh(self) -> None:
        """Read everything anew. Raises what the database raises."""
        began = self._steady()
        # Credentials first: a vendor is always there before its credentials are.
        found = await credentials.every(self._db)
        vendors = {vendor.vendor_id: vendor for vendor in await accounts.every(self._db)}
        self._vendors = vendors
        self._keys = {one.name: one for one in found if one.kind is CredentialKind.KEY}
        self._clients = {one.name: one for one in found if one.kind is CredentialKind.CLIENT}
        self._as_of = began

    async def run(self) -> None:
        """Read everything anew every second until `stop`."""
        told = False
        while not self._stop.is_set():
            try:
                await self.refresh()
                told = False
            except _UNREADABLE as fault:
                if not told:
                    self._log.warning("the register cannot be read", fault=type(fault).__name__)
                told = True
            try:
                await asyncio.wait_for(self._stop.wait(), REFRESH_SECONDS)
            except TimeoutError:
                continue

    def stop(self) -> None:
        """End `run`."""
        self._stop.set()

    def vendor(self, vendor_id: str) -> Vendor:
        """Return a vendor. Raises VendorUnknown, RegisterStale."""
        self._require_current()
        vendor = self._vendors.get(vendor_id)
        if vendor is None:
            raise VendorUnknown(vendor_id=vendor_id[:32])
        return vendor

    def bearer(
        self, text: str, *, address: str, now: datetime, certificate: str | None = None
    ) -> Caller:
        """Return who an API key or an access token is of, calling from an address.

        `certificate` is the SHA-256 thumbprint (base64url) of the one the caller showed. Raises
        CredentialRefused, CredentialRevoked, CredentialExpired, AccessTokenInvalid,
        AccessTokenExpired, CertificateMissing, VendorSuspended, AddressForbidden, RegisterStale.
        """
        self._require_current()
        if text.startswith("stima_"):
            credential, scopes = self._key(text), None
        else:
            claims = access_tokens.verify(text, seals=self._seals, now=now)
            if claims.certificate not in (None, certificate):
                raise CertificateMissing
            credential, scopes = self._named(claims.client_id), claims.scopes
        return self._caller(credential, scopes, address=address, now=now)

    def client(self, client_id: str, secret: str, *, address: str, now: datetime) -> Credential:
        """Return the client that has a secret. Raises as `bearer`, less what is about tokens."""
        self._require_current()
        client = self._clients.get(client_id)
        seal = (client.seal if client else None) or _NO_SEAL
        if not self._seals.fits(secret, seal) or client is None:
            raise CredentialRefused
        self._caller(client, None, address=address, now=now)
        return client

    def signing_client(self, client_id: str, *, address: str, now: datetime) -> Credential:
        """Return the client of an assertion that is still to be proved. Raises as `client`."""
        self._require_current()
        client = self._named(client_id)
        self._caller(client, None, address=address, now=now)
        return client

    def named(self, client_id: str) -> Credential | None:
        """Return the client of a name, for its public keys; None for a key or what is not known."""
        return self._clients.get(client_id)

    def _key(self, text: str) -> Credential:
        parts = parse_key(text)
        if parts is None:
            raise CredentialRefused
        prefix, secret, sandbox = parts
        key = self._keys.get(prefix)
        seal = (key.seal if key else None) or _NO_SEAL
        if not self._seals.fits(secret, seal) or key is None or key.sandbox is not sandbox:
            raise CredentialRefused
        return key

    def _named(self, client_id: str) -> Credential:
        client = self._clients.get(client_id)
        if client is None:
            raise CredentialRefused
        return client

    def _caller(
        self,
        credential: Credential,
        scopes: frozenset[Scope] | None,
        *,
        address: str,
        now: datetime,
    ) -> Caller:
        if credential.revoked_at is not None:
            raise CredentialRevoked(credential=credential.name)
        if credential.expires_at is not None and credential.expires_at <= now:
            raise CredentialExpired(credential=credential.name)
        vendor = self.vendor(credential.vendor_id)
        if vendor.status is VendorStatus.SUSPENDED:
            raise VendorSuspended(vendor_id=vendor.vendor_id)
        require_address(vendor, address)
        allowed = credential.scopes if scopes is None else credential.scopes & scopes
        return Caller(
            vendor=vendor, credential=credential.name, scopes=allowed, sandbox=credential.sandbox
        )

    def _require_current(self) -> None:
        if not self.current:
            raise RegisterStale
