"""Vendors as rows: taken on, found, suspended; every change is an act in the log."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import asyncpg

from vending import audit_log
from vending.audit_log import Fact
from vending.postgres import pool
from vending.postgres.pool import Connection, Session
from vending.vendors.vendor import (
    Vendor,
    VendorExists,
    VendorStatus,
    VendorUnknown,
    parse_addresses,
    parse_name,
    parse_vendor_id,
)

# A vendor is never without its float.
ADD = """
with added as (
    insert into vendor (vendor_id, name, status, allowed_addresses, created_at)
    values ($1, $2, 'active', $3, $4)
    returning vendor_id
)
insert into vendor_float (vendor_id) select vendor_id from added
"""

FIND = """
select vendor_id, name, status, allowed_addresses, created_at
  from vendor
 where vendor_id = $1
"""

EVERY = """
select vendor_id, name, status, allowed_addresses, created_at
  from vendor
 order by vendor_id
"""

SET_STATUS = "update vendor set status = $2 where vendor_id = $1 returning vendor_id"

SET_ADDRESSES = """
update vendor set allowed_addresses = $2 where vendor_id = $1 returning vendor_id
"""


def subject(vendor_id: str) -> str:
    """Return what acts about a vendor name as their subject."""
    return f"vendor:{vendor_id}"


async def add(
    db: Connection,
    vendor_id: str,
    *,
    name: str,
    addresses: Iterable[str] = (),
    who: str,
    now: datetime,
) -> Vendor:
    """Take a vendor on, with an empty float and no credit.

    Raises VendorMalformed, AddressMalformed, VendorExists.
    """
    vendor = Vendor(
        vendor_id=parse_vendor_id(vendor_id),
        name=parse_name(name),
        addresses=parse_addresses(addresses),
        created_at=now,
    )
    async with pool.transaction(db):
        try:
            await db.execute(ADD, vendor.vendor_id, vendor.name, list(vendor.addresses), now)
        except asyncpg.UniqueViolationError:
            raise VendorExists(vendor_id=vendor_id) from None
        facts: Mapping[str, Fact] = {"name": vendor.name, "addresses": list(vendor.addresses)}
        await audit_log.append(
            db, who=who, what="vendor added", subject=subject(vendor_id), facts=facts, now=now
        )
    return vendor


async def find(db: Session, vendor_id: str) -> Vendor:
    """Return a vendor. Raises VendorUnknown."""
    rows = await db.fetch(FIND, vendor_id)
    if not rows:
        raise VendorUnknown(vendor_id=vendor_id[:32])
    return vendor_of_row(rows[0])


async def every(db: Session) -> list[Vendor]:
    """Return all vendors, by id."""
    return [vendor_of_row(row) for row in await db.fetch(EVERY)]


async def suspend(db: Connection, vendor_id: str, *, note: str, who: str, now: datetime) -> None:
    """Stop a vendor from selling, on every server within seconds. Raises VendorUnknown."""
    await _change(
        db, SET_STATUS, vendor_id, VendorStatus.SUSPENDED.value,
        what="vendor suspended", facts={"note": note}, who=who, now=now,
    )  # fmt: skip


async def resume(db: Connection, vendor_id: str, *, note: str, who: str, now: datetime) -> None:
    """Let a suspended vendor sell again. Raises VendorUnknown."""
    await _change(
        db, SET_STATUS, vendor_id, VendorStatus.ACTIVE.value,
        what="vendor resumed", facts={"note": note}, who=who, now=now,
    )  # fmt: skip


async def set_addresses(
    db: Connection, vendor_id: str, addresses: Iterable[str], *, who: str, now: datetime
) -> tuple[str, ...]:
    """Say where a vendor may call from; none means anywhere. Return them in their usual writing.

    Raises AddressMalformed, VendorUnknown.
    """
    texts = parse_addresses(addresses)
    await _change(
        db, SET_ADDRESSES, vendor_id, list(texts),
        what="vendor addresses set", facts={"addresses": list(texts)}, who=who, now=now,
    )  # fmt: skip
    return texts


def vendor_of_row(row: asyncpg.Record) -> Vendor:
    """Return the vendor of a row that has every column of one."""
    return Vendor(
        vendor_id=row["vendor_id"],
        name=row["name"],
        status=VendorStatus(row["status"]),
        addresses=tuple(row["allowed_addresses"]),
        created_at=row["created_at"],
    )


async def _change(
    db: Connection,
    query: str,
    vendor_id: str,
    value: object,
    *,
    what: str,
    facts: Mapping[str, Fact],
    who: str,
    now: datetime,
) -> None:
    async with pool.transaction(db):
        if not await db.fetch(query, vendor_id, value):
            raise VendorUnknown(vendor_id=vendor_id[:32])
        await audit_log.append(
            db, who=who, what=what, subject=subject(vendor_id), facts=facts, now=now
        )
