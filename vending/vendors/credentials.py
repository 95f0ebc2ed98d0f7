"""How a vendor proves who it is: API keys, and OAuth clients with a secret or with public keys.

A key is ``stima_live_<prefix>_<secret>``, or ``stima_test_...`` for the sandbox: the prefix is
public and finds the key, the secret has 256 random bits, is printed once and stored only as a seal.
A vendor has two places for keys and two for clients, in the sandbox as many again: so a new one is
issued while the old one sells, and then the old one is revoked.
"""

import base64
import re
import secrets
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import asyncpg

from vending import audit_log
from vending.errors import Rejected
from vending.postgres import pool
from vending.postgres.pool import Connection, Session
from vending.values import Value
from vending.vendors import accounts, key_sets
from vending.vendors.seals import Seals
from vending.vendors.vendor import USUAL_SCOPES, Scope

_PREFIX_BYTES = 5
_SECRET_BYTES = 32
_LABEL_LENGTH_MAX = 60
_KEY = re.compile(r"stima_(live|test)_([a-z2-7]{8})_([a-z2-7]{52})")

ADD_KEY = """
insert into api_key (prefix, vendor_id, label, seal, scopes, sandbox, place, issued_at, expires_at)
select $1, $2, $3, $4, $5, $6, free.place, $7, $8
  from (values (1), (2)) as free (place)
 where not exists (select from api_key
                    where api_key.vendor_id = $2 and api_key.sandbox = $6
                      and api_key.place = free.place and revoked_at is null)
 order by free.place
 limit 1
on conflict (vendor_id, sandbox, place) where revoked_at is null do nothing
returning place
"""

ADD_CLIENT = """
insert into oauth_client (client_id, vendor_id, label, seal, key_set, scopes, sandbox, place,
                          issued_at, expires_at)
select $1, $2, $3, $4, $9, $5, $6, free.place, $7, $8
  from (values (1), (2)) as free (place)
 where not exists (select from oauth_client
                    where oauth_client.vendor_id = $2 and oauth_client.sandbox = $6
                      and oauth_client.place = free.place and revoked_at is null)
 order by free.place
 limit 1
on conflict (vendor_id, sandbox, place) where revoked_at is null do nothing
returning place
"""

# Both tables whole: a vendor has a handful of each, and there are tens of vendors.
EVERY = """
select 'key' as kind, prefix as name, vendor_id, label, seal, null as key_set, scopes, sandbox,
       issued_at, expires_at, revoked_at
  from api_key
union all
select 'client', client_id, vendor_id, label, seal, key_set, scopes, sandbox, issued_at, expires_at,
       revoked_at
  from oauth_client
"""

OF_VENDOR = f"""
select kind, name, vendor_id, label, seal, key_set, scopes, sandbox, issued_at, expires_at,
       revoked_at
  from ({EVERY}) as credential
 where vendor_id = $1
 order by issued_at, name
"""  # noqa: S608 -- composed of our own constants

REVOKE = """
with key as (
    update api_key set revoked_at = $3
     where vendor_id = $1 and prefix = $2 and revoked_at is null
    returning vendor_id
), client as (
    update oauth_client set revoked_at = $3
     where vendor_id = $1 and client_id = $2 and revoked_at is null
    returning vendor_id
)
select vendor_id from key union all select vendor_id from client
"""


class CredentialKind(StrEnum):
    """Which kind of proof it is."""

    KEY = "key"
    CLIENT = "client"


class CredentialsTooMany(Rejected):
    """This vendor has two working credentials of this kind already.

    Revoke the one that is no longer used: `vending vendors keys list` shows them.
    """

    code = "credentials_too_many"


class CredentialUnknown(Rejected):
    """This vendor has no such key or client that still works.

    `vending vendors keys list` shows them; a key goes by its prefix, a client by its id.
    """

    code = "credential_unknown"


class LabelMalformed(Rejected):
    """A label is at most 60 printable characters."""

    code = "label_malformed"


class Grant(Value, frozen=True, kw_only=True):
    """What a credential is to be for; a `label` tells people where it is used."""

    label: str = ""
    scopes: frozenset[Scope] = USUAL_SCOPES
    sandbox: bool = False
    expires_at: datetime | None = None


class Credential(Value, frozen=True, kw_only=True):
    """A key or a client as it is stored: `name` is a key's prefix or a client's id.

    A client has a `seal` or the public keys of a `key_set` (JSON Web Keys), never both.
    """

    hidden = frozenset({"seal", "key_set"})

    kind: CredentialKind
    name: str
    vendor_id: str
    label: str
    scopes: frozenset[Scope]
    sandbox: bool
    issued_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    seal: bytes | None = None
    key_set: str | None = None


class Issued(Value, frozen=True, kw_only=True):
    """A credential just made, and its `secret` ("" for public keys): shown once and then gone."""

    hidden = frozenset({"secret"})

    credential: Credential
    secret: str


def parse_key(text: str) -> tuple[str, str, bool] | None:
    """Return a key's prefix, its secret and whether it is for the sandbox; None for no key."""
    found = _KEY.fullmatch(text)
    return (found[2], found[3], found[1] == "test") if found else None


async def issue_key(
    db: Connection, vendor_id: str, grant: Grant, *, seals: Seals, who: str, now: datetime
) -> Issued:
    """Make an API key. Raises VendorUnknown, CredentialsTooMany, LabelMalformed."""
    prefix, secret = _letters(_PREFIX_BYTES), _letters(_SECRET_BYTES)
    credential = Credential(
        kind=CredentialKind.KEY, name=prefix, vendor_id=vendor_id, label=parse_label(grant.label),
        scopes=grant.scopes, sandbox=grant.sandbox, issued_at=now, expires_at=grant.expires_at,
        seal=seals.seal(secret),
    )  # fmt: skip
    await _add(db, ADD_KEY, credential, who=who, now=now)
    sort = "test" if grant.sandbox else "live"
    return Issued(credential=credential, secret=f"stima_{sort}_{prefix}_{secret}")


async def add_client(
    db: Connection,
    vendor_id: str,
    grant: Grant,
    *,
    key_set: str | None = None,
    seals: Seals,
    who: str,
    now: datetime,
) -> Issued:
    """Make an OAuth client: by public keys when a `key_set` is given, else by a secret.

    `key_set` is text as `key_sets.parse` reads it. Raises KeySetMalformed, VendorUnknown,
    CredentialsTooMany, LabelMalformed.
    """
    secret = "" if key_set is not None else _letters(_SECRET_BYTES)
    credential = Credential(
        kind=CredentialKind.CLIENT, name=f"{vendor_id}.{_letters(_PREFIX_BYTES)}",
        vendor_id=vendor_id, label=parse_label(grant.label), scopes=grant.scopes,
        sandbox=grant.sandbox, issued_at=now, expires_at=grant.expires_at,
        seal=seals.seal(secret) if secret else None,
        key_set=key_sets.parse(key_set) if key_set is not None else None,
    )  # fmt: skip
    await _add(db, ADD_CLIENT, credential, credential.key_set, who=who, now=now)
    return Issued(credential=credential, secret=secret)


async def revoke(
    db: Connection, vendor_id: str, name: str, *, note: str = "", who: str, now: datetime
) -> None:
    """End a key or a client, on every server within seconds. Raises CredentialUnknown.

    Access tokens that a client has fetched end with it.
    """
    async with pool.transaction(db):
        if not await db.fetch(REVOKE, vendor_id, name, now):
            raise CredentialUnknown(vendor_id=vendor_id[:32], name=name[:48])
        await audit_log.append(
            db, who=who, what="credential revoked", subject=accounts.subject(vendor_id),
            facts={"name": name, "note": note}, now=now,
        )  # fmt: skip


async def of_vendor(db: Session, vendor_id: str) -> list[Credential]:
    """Return a vendor's keys and clients, revoked ones too, oldest first."""
    return [_credential(row) for row in await db.fetch(OF_VENDOR, vendor_id)]


async def every(db: Session) -> list[Credential]:
    """Return all keys and clients of all vendors, in no order."""
    return [_credential(row) for row in await db.fetch(EVERY)]


def parse_label(text: str) -> str:
    """Return a label, its spaces put in order. Raises LabelMalformed."""
    label = " ".join(text.split())
    if len(label) > _LABEL_LENGTH_MAX or not (label.isprintable() or not label):
        raise LabelMalformed
    return label


async def _add(
    db: Connection, query: str, one: Credential, *more: object, who: str, now: datetime
) -> None:
    async with pool.transaction(db):
        await accounts.find(db, one.vendor_id)
        facts = (one.name, one.vendor_id, one.label, one.seal, _texts(one.scopes), one.sandbox,
                 now, one.expires_at, *more)  # fmt: skip
        # Once more when somebody else took the same place meanwhile: the other may be free.
        if not (await db.fetch(query, *facts) or await db.fetch(query, *facts)):
            raise CredentialsTooMany(vendor_id=one.vendor_id, kind=one.kind.value)
        await audit_log.append(
            db, who=who, what=f"{one.kind.value} issued", subject=accounts.subject(one.vendor_id),
            facts={"name": one.name, "label": one.label, "scopes": _texts(one.scopes),
                   "sandbox": one.sandbox}, now=now,
        )  # fmt: skip


def _credential(row: asyncpg.Record) -> Credential:
    return Credential(
        kind=CredentialKind(row["kind"]),
        name=row["name"],
        vendor_id=row["vendor_id"],
        label=row["label"],
        scopes=frozenset(map(Scope, row["scopes"])),
        sandbox=row["sandbox"],
        issued_at=row["issued_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        seal=row["seal"],
        key_set=row["key_set"],
    )


def _texts(scopes: Iterable[Scope]) -> list[str]:
    return sorted(scope.value for scope in scopes)


def _letters(count: int) -> str:
    """Return random bytes in small letters and digits that nobody mistakes for each other."""
    return base64.b32encode(secrets.token_bytes(count)).decode().rstrip("=").lower()
