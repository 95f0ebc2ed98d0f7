"""A vendor's float: what it has paid in and not sold yet, and how far below nothing it may go.

The ledger's account ``float:<vendor_id>`` is the truth; the row here is its balance, so that a
batch of sales can be held against it, and the audit compares the two. A check of the table refuses
whatever would leave the balance below the limit. Of what can still be sold for, a vendor may have a
warning level: the batch whose sales take it below writes an event of that.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

import asyncpg
import msgspec

from vending import audit_log
from vending.errors import Refused, Rejected, Unavailable
from vending.postgres import pool
from vending.postgres.columns import number_array, numbers, text_array, texts
from vending.postgres.pool import Connection, Session
from vending.values import Value
from vending.vendors import accounts
from vending.vendors.vendor import VendorUnknown
from vending.webhooks import event
from vending.webhooks.event import EventType

COVERED = "vendor_float_covered"
"""The check of the table that no float falls below its limit."""

LIMIT_MINOR_MAX = 10**14
"""A thousand billion: nobody's credit, and far from where sums of cents would overflow."""

PARAMETERS = 4
"""How many parameters `draw` takes."""

READ = """
select vendor_id, balance_minor, credit_limit_minor, warning_minor, last_batch,
       exists (select from vendor
                where vendor.vendor_id = vendor_float.vendor_id
                  and vendor.status = 'suspended') as suspended,
       exists (select from webhook_endpoint as endpoint
                where endpoint.vendor_id = vendor_float.vendor_id and endpoint.state = 'enabled'
                  and (event_types = '{}' or 'sale.completed' = any(event_types))) as told
  from vendor_float
 where vendor_id = any($1::text[])
"""

EVERY = """
select vendor_id, balance_minor, credit_limit_minor, warning_minor, last_batch
  from vendor_float
 order by vendor_id
"""

# The vend lane waits for a float that is held: whoever holds one and stops is cut off.
HOLD_BRIEFLY = "set local idle_in_transaction_session_timeout = '2s'"

SET_LIMIT = """
update vendor_float set credit_limit_minor = $2 where vendor_id = $1 returning vendor_id
"""

SET_WARNING = """
update vendor_float set warning_minor = $2 where vendor_id = $1 returning vendor_id
"""


class FloatInsufficient(Refused):
    """The vendor's float does not cover this sale.

    Nothing was sold and nothing is held. Pay a deposit in; then the same reference sells.
    """

    code = "float_insufficient"


class FloatMoved(Unavailable):
    """A vendor's float no longer covered a batch when it was written.

    Nothing of the batch was written; it is decided again by itself.
    """

    code = "float_moved"


class LimitTooLow(Rejected):
    """The vendor has used more credit than this limit would allow.

    Confirm a deposit first, or suspend the vendor.
    """

    code = "limit_too_low"


class LimitMalformed(Rejected):
    """A credit limit is nothing or more, and not more than 1 000 000 000 000.00."""

    code = "limit_malformed"


class WarningMalformed(Rejected):
    """A warning level is nothing or more, and not more than 1 000 000 000 000.00."""

    code = "warning_malformed"


class Float(Value, frozen=True, kw_only=True):
    """A vendor's balance with us, its credit limit and its warning level (0: none), in cents.

    `told` says whether it has an endpoint that hears of sales, `suspended` that it may not sell;
    only `read` looks.
    """

    vendor_id: str
    balance_minor: int
    credit_limit_minor: int
    warning_minor: int = 0
    last_batch: int = 0
    told: bool = False
    suspended: bool = False

    @property
    def available_minor(self) -> int:
        """What the vendor can still sell for."""
        return self.balance_minor + self.credit_limit_minor


async def read(db: Session, vendor_ids: Collection[str]) -> dict[str, Float]:
    """Return the floats of these vendors, by vendor; unknown ones are absent."""
    rows = await db.fetch(READ, list(vendor_ids))
    return {row["vendor_id"]: Float(**dict(row)) for row in rows}


async def hold_briefly(db: Connection) -> None:
    """Let this transaction, which is about to move a float, not stand still."""
    await db.execute(HOLD_BRIEFLY)


def draw_columns(
    drawn: Mapping[str, int], *, warnings: Collection[int], batch: int
) -> tuple[object, ...]:
    """Return what a batch draws from each vendor's float, as the parameters of `draw`.

    `warnings` are numbers for events, one for each vendor: of its warning, should there be one.
    """
    return texts(list(drawn)), numbers(drawn.values()), numbers(warnings), batch


def draw(first: int) -> str:
    """Return the update that moves each vendor's float once, its parameters numbered from `first`.

    The table's check is its condition: a float that does not cover its sales refuses the batch. As
    a step called `drawn` it says what `warn` must know of each float.
    """
    arrays = ", ".join(
        (
            text_array(first),
            number_array(first + 1, "bigint"),
            number_array(first + 2, "bigint"),
        )
    )
    return f"""
update vendor_float as held
   set balance_minor = held.balance_minor - drawn.minor, last_batch = ${first + 3}::bigint
  from unnest({arrays}) as drawn (vendor_id, minor, event_id)
 where held.vendor_id = drawn.vendor_id
returning held.vendor_id, held.warning_minor, drawn.minor, drawn.event_id,
          held.balance_minor + held.credit_limit_minor as available_minor
"""  # noqa: S608 -- only parameter numbers and type names are put into the text


def require_covered(fault: asyncpg.CheckViolationError) -> None:
    """Raise FloatMoved if it is a float that refused a batch; any other fault is not ours."""
    if fault.constraint_name == COVERED:
        raise FloatMoved from None


class FloatLow(msgspec.Struct, frozen=True, kw_only=True):
    """The data of `float.low`, its sums put in by the statement that knows them."""

    available_minor: msgspec.Raw
    warning_minor: msgspec.Raw


WARNING_PARAMETERS = 2
"""How many parameters `warn` takes."""


def warning_columns(at: datetime) -> tuple[object, ...]:
    """Return when a batch draws from floats, and the pattern of its warnings' bodies."""
    sums = FloatLow(available_minor=msgspec.Raw(b"%1$s"), warning_minor=msgspec.Raw(b"%2$s"))
    return event.body_of(EventType.FLOAT_LOW, at=at, data=sums), at


def warn(first: int) -> str:
    """Return the insert of an event for each float of the step `drawn` that has become low.

    Only the rows as they are written can say so, for a deposit may arrive while a batch is decided.
    """
    return f"""
insert into webhook_event (event_id, vendor_id, type, body, endpoint_id, occurred_at)
select event_id, vendor_id, '{EventType.FLOAT_LOW}',
       format(${first}::text, available_minor, warning_minor), null, ${first + 1}::timestamptz
  from drawn
 where available_minor < warning_minor and available_minor + minor >= warning_minor
"""  # noqa: S608 -- only parameter numbers and the type's name are put into the text


async def find(db: Session, vendor_id: str) -> Float:
    """Return a vendor's float. Raises VendorUnknown."""
    found = await read(db, [vendor_id])
    if vendor_id not in found:
        raise VendorUnknown(vendor_id=vendor_id[:32])
    return found[vendor_id]


async def every(db: Session) -> dict[str, Float]:
    """Return the floats of all vendors, by vendor."""
    return {row["vendor_id"]: Float(**dict(row)) for row in await db.fetch(EVERY)}


async def set_limit(
    db: Connection, vendor_id: str, *, limit_minor: int, note: str, who: str, now: datetime
) -> None:
    """Say how far below nothing a vendor's float may go, in cents.

    Raises VendorUnknown, LimitMalformed, LimitTooLow.
    """
    if not 0 <= limit_minor <= LIMIT_MINOR_MAX:
        raise LimitMalformed
    async with pool.transaction(db):
        await hold_briefly(db)
        try:
            if not await db.fetch(SET_LIMIT, vendor_id, limit_minor):
                raise VendorUnknown(vendor_id=vendor_id[:32])
        except asyncpg.CheckViolationError:
            raise LimitTooLow(vendor_id=vendor_id) from None
        await audit_log.append(
            db, who=who, what="credit limit set", subject=accounts.subject(vendor_id),
            facts={"limit_minor": limit_minor, "note": note}, now=now,
        )  # fmt: skip


async def set_warning(
    db: Connection, vendor_id: str, *, warning_minor: int, note: str, who: str, now: datetime
) -> None:
    """Say below what a vendor hears that its float is low, in cents that it can sell for; 0: never.

    Raises VendorUnknown, WarningMalformed.
    """
    if not 0 <= warning_minor <= LIMIT_MINOR_MAX:
        raise WarningMalformed
    async with pool.transaction(db):
        await hold_briefly(db)
        if not await db.fetch(SET_WARNING, vendor_id, warning_minor):
            raise VendorUnknown(vendor_id=vendor_id[:32])
        await audit_log.append(
            db, who=who, what="warning level set", subject=accounts.subject(vendor_id),
            facts={"warning_minor": warning_minor, "note": note}, now=now,
        )  # fmt: skip
