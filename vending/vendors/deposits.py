"""Deposits: money a vendor paid into a bank account of ours, proposed by one, confirmed by another.

A deposit counts once it is confirmed: then, in one transaction, the ledger books bank to float, the
vendor's balance rises and the act is logged. One bank reference is one deposit, whoever types it.
"""

import re
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum

import asyncpg

from vending import audit_log
from vending.errors import Rejected
from vending.ledger import journal
from vending.ledger.accounts import Chart
from vending.ledger.entry import Entry
from vending.postgres import pool
from vending.postgres.pool import Connection, Session
from vending.values import Value
from vending.vendors import accounts, floats
from vending.vendors.vendor import float_account

AMOUNT_MINOR_MAX = 10**13
"""A hundred billion in one payment is a typing error."""

ENTRY_KIND = "deposit"

REFERENCE_ONCE = "deposit_reference"
"""The index that holds each bank reference once."""

_BANK = re.compile(r"[a-z][a-z0-9-]{1,30}")
_REFERENCE_LENGTH_MAX = 64

PROPOSE = """
insert into deposit (deposit_id, vendor_id, bank, bank_reference, amount_minor, proposed_by,
                     proposed_at, note)
values ($1, $2, $3, $4, $5, $6, $7, $8)
"""

COLUMNS = """
select deposit_id, vendor_id, bank, bank_reference, amount_minor, status, proposed_by, proposed_at,
       settled_by, settled_at, note, entry_id
  from deposit
"""

FIND = f"{COLUMNS} where deposit_id = $1"
FIND_TO_SETTLE = f"{FIND} for update"

FIND_OF_VENDOR = f"{COLUMNS} where vendor_id = $1 and deposit_id = $2"

# deposit_reference serves it.
OF_REFERENCE = f"""{COLUMNS}
 where bank = $2 and bank_reference = $3 and vendor_id = $1 and status <> 'rejected'
"""

OF_VENDOR = f"""{COLUMNS}
 where vendor_id = $1 and deposit_id < $2
 order by deposit_id desc
 limit $3
"""

WAITING = f"""{COLUMNS}
 where status = 'proposed'
 order by deposit_id
 limit $1
"""

SETTLE = """
update deposit set status = $2, settled_by = $3, settled_at = $4, entry_id = $5
 where deposit_id = $1
"""

# The entry's insert and the float's movement in one statement.
BOOK = f"""
with booked as ({journal.insert_entries(1)})
update vendor_float
   set balance_minor = balance_minor + ${journal.PARAMETERS + 2}::bigint
 where vendor_id = ${journal.PARAMETERS + 1}::text
returning balance_minor
"""  # noqa: S608 -- composed of our own constants

NEWEST = 2**63 - 1


class DepositStatus(StrEnum):
    """What has become of a deposit."""

    PROPOSED = "proposed"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"


class DepositMalformed(Rejected):
    """A deposit cannot be like that.

    `field` says which part: the bank is 2 to 31 small letters, digits and hyphens, its reference 1
    to 64 printable characters, the amount more than nothing and at most 100 000 000 000.00.
    """

    code = "deposit_malformed"


class DepositRepeated(Rejected):
    """This bank reference has been proposed or confirmed already.

    `vending vendors deposit list` shows that deposit. The same money does not count twice.
    """

    code = "deposit_repeated"


class DepositUnknown(Rejected):
    """There is no deposit of this number.

    `vending vendors deposit list` shows those there are.
    """

    code = "deposit_unknown"


class DepositSettled(Rejected):
    """This deposit has been confirmed or rejected already."""

    code = "deposit_settled"


class CheckerIsMaker(Rejected):
    """Whoever proposes a deposit does not confirm it.

    Ask another person, who looks at the bank's statement.
    """

    code = "checker_is_maker"


class Slip(Value, frozen=True, kw_only=True):
    """What whoever proposes a deposit says of it: which bank, its reference there, how much."""

    vendor_id: str
    bank: str
    bank_reference: str
    amount_minor: int
    note: str = ""


class Deposit(Value, frozen=True, kw_only=True):
    """A deposit as it is stored, in cents; `entry_id` is its document in the ledger."""

    deposit_id: int
    vendor_id: str
    bank: str
    bank_reference: str
    amount_minor: int
    status: DepositStatus = DepositStatus.PROPOSED
    proposed_by: str
    proposed_at: datetime
    settled_by: str | None = None
    settled_at: datetime | None = None
    note: str = ""
    entry_id: int | None = None


async def propose(
    db: Connection, slip: Slip, *, deposit_id: int, who: str, now: datetime
) -> Deposit:
    """Write down that money was paid in; nothing counts before it is confirmed.

    A bank reference is the same in capital and in small letters. Raises VendorUnknown,
    DepositMalformed, DepositRepeated.
    """
    deposit = Deposit(
        deposit_id=deposit_id, vendor_id=slip.vendor_id, bank=_bank(slip.bank),
        bank_reference=_reference(slip.bank_reference), amount_minor=_amount(slip.amount_minor),
        proposed_by=audit_log.person(who), proposed_at=now, note=slip.note,
    )  # fmt: skip
    async with pool.transaction(db):
        await accounts.find(db, slip.vendor_id)
        try:
            await db.execute(
                PROPOSE, deposit_id, deposit.vendor_id, deposit.bank, deposit.bank_reference,
                deposit.amount_minor, deposit.proposed_by, now, deposit.note,
            )  # fmt: skip
        except asyncpg.UniqueViolationError as fault:
            if fault.constraint_name != REFERENCE_ONCE:
                raise
            raise DepositRepeated(bank=deposit.bank, reference=deposit.bank_reference) from None
        await _log(db, deposit, "deposit proposed", who=who, note=slip.note, now=now)
    return deposit


async def confirm(
    db: Connection, deposit_id: int, *, entry_id: Callable[[], int], who: str, now: datetime
) -> Deposit:
    """Let a deposit count: book it, raise the float, log the act, all in one transaction.

    `entry_id` gives its document in the ledger a number of its own. Raises DepositUnknown,
    DepositSettled, CheckerIsMaker.
    """
    chart = Chart()
    found = await find(db, deposit_id)
    postings = (
        (f"bank:{found.bank}", found.amount_minor),
        (float_account(found.vendor_id), -found.amount_minor),
    )
    await chart.open(db, [account for account, _ in postings])
    async with pool.transaction(db):
        await floats.hold_briefly(db)
        deposit = await _to_settle(db, deposit_id)
        if audit_log.person(who).lower() == deposit.proposed_by.lower():
            raise CheckerIsMaker(deposit_id=deposit_id)
        entry = Entry(
            document_id=entry_id(), sequence=0, kind=ENTRY_KIND, postings=postings, booked_at=now
        )
        settled = await _settle(
            db, deposit, DepositStatus.CONFIRMED, entry_id=entry.document_id, who=who, now=now
        )
        columns = journal.columns([entry], chart, booked_at=now)
        await db.fetch(BOOK, *columns, deposit.vendor_id, deposit.amount_minor)
        await _log(db, deposit, "deposit confirmed", who=who, note="", now=now)
    return settled


async def reject(db: Connection, deposit_id: int, *, note: str, who: str, now: datetime) -> Deposit:
    """Say that a deposit does not count; its maker may do so as well.

    Its bank reference may come again. Raises DepositUnknown, DepositSettled.
    """
    async with pool.transaction(db):
        deposit = await _to_settle(db, deposit_id)
        settled = await _settle(
            db, deposit, DepositStatus.REJECTED, entry_id=None, who=who, now=now
        )
        await _log(db, deposit, "deposit rejected", who=who, note=note, now=now)
    return settled


async def find(db: Session, deposit_id: int) -> Deposit:
    """Return a deposit. Raises DepositUnknown."""
    rows = await db.fetch(FIND, deposit_id)
    if not rows:
        raise DepositUnknown(deposit_id=deposit_id)
    return _deposit(rows[0])


async def find_of(db: Session, vendor_id: str, deposit_id: int) -> Deposit:
    """Return a deposit of one vendor; another's is not there. Raises DepositUnknown."""
    rows = await db.fetch(FIND_OF_VENDOR, vendor_id, deposit_id)
    if not rows:
        raise DepositUnknown(deposit_id=deposit_id)
    return _deposit(rows[0])


async def of_reference(db: Session, slip: Slip) -> Deposit | None:
    """Return the deposit that the vendor of a slip has proposed under its bank reference."""
    rows = await db.fetch(OF_REFERENCE, slip.vendor_id, slip.bank, _reference(slip.bank_reference))
    return _deposit(rows[0]) if rows else None


async def of_vendor(
    db: Session, vendor_id: str, *, before: int = NEWEST, most: int = 50
) -> list[Deposit]:
    """Return a vendor's deposits numbered below `before`, newest first."""
    return [_deposit(row) for row in await db.fetch(OF_VENDOR, vendor_id, before, most)]


async def waiting(db: Session, *, most: int = 50) -> list[Deposit]:
    """Return the deposits of all vendors that wait to be checked, oldest first."""
    return [_deposit(row) for row in await db.fetch(WAITING, most)]


async def _to_settle(db: Session, deposit_id: int) -> Deposit:
    rows = await db.fetch(FIND_TO_SETTLE, deposit_id)
    if not rows:
        raise DepositUnknown(deposit_id=deposit_id)
    deposit = _deposit(rows[0])
    if deposit.status is not DepositStatus.PROPOSED:
        raise DepositSettled(deposit_id=deposit_id, status=deposit.status.value)
    return deposit


async def _settle(
    db: Connection,
    deposit: Deposit,
    status: DepositStatus,
    *,
    entry_id: int | None,
    who: str,
    now: datetime,
) -> Deposit:
    by = audit_log.person(who)
    await db.execute(SETTLE, deposit.deposit_id, status.value, by, now, entry_id)
    return await find(db, deposit.deposit_id)


async def _log(
    db: Connection, deposit: Deposit, what: str, *, who: str, note: str, now: datetime
) -> None:
    await audit_log.append(
        db, who=who, what=what, subject=accounts.subject(deposit.vendor_id),
        facts={"deposit_id": deposit.deposit_id, "bank": deposit.bank,
               "bank_reference": deposit.bank_reference, "amount_minor": deposit.amount_minor,
               "note": note}, now=now,
    )  # fmt: skip


def _deposit(row: asyncpg.Record) -> Deposit:
    fields = dict(row)
    return Deposit(status=DepositStatus(fields.pop("status")), **fields)


def _bank(text: str) -> str:
    if not _BANK.fullmatch(text):
        raise DepositMalformed(field="bank")
    return text


def _reference(text: str) -> str:
    reference = " ".join(text.split()).upper()
    if not 1 <= len(reference) <= _REFERENCE_LENGTH_MAX or not reference.isprintable():
        raise DepositMalformed(field="bank_reference")
    return reference


def _amount(amount_minor: int) -> int:
    if not 1 <= amount_minor <= AMOUNT_MINOR_MAX:
        raise DepositMalformed(field="amount_minor")
    return amount_minor
