"""Deposits: a vendor says what it has paid into the bank, and the utility confirms it."""

from typing import Annotated

import msgspec
from msgspec import Meta

from vending.api.v1 import names, pages
from vending.api.v1.asked import Answer, Asked, Instant
from vending.api.v1.pages import Page
from vending.api.v1.teller import Teller
from vending.postgres.pool import Connection
from vending.vendors import deposits
from vending.vendors.deposits import DepositRepeated, DepositStatus, DepositUnknown, Slip

LIST = "deposits"


class DepositSlip(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was paid into a bank account of the utility."""

    bank: Annotated[
        str,
        Meta(
            pattern="^[a-z][a-z0-9-]{1,30}$",
            description="As the utility names the bank.",
            examples=["kcb"],
        ),
    ]
    bank_reference: Annotated[
        str,
        Meta(
            pattern=r"^[!-~][ -~]{0,63}$",
            description="The bank's own reference; capitals and small letters are the same.",
            examples=["FT26326K7Q2M"],
        ),
    ]
    amount_minor: Annotated[
        int,
        Meta(ge=1, le=deposits.AMOUNT_MINOR_MAX, description="In cents.", examples=[25_000_000]),
    ]
    note: Annotated[str, Meta(pattern=r"^[ -~]{0,200}$", description="For whoever checks it.")] = ""


class Deposit(msgspec.Struct, frozen=True, kw_only=True):
    """A deposit as it stands; it counts once it is confirmed."""

    deposit: Annotated[str, Meta(description="Its name here.")]
    bank: str
    bank_reference: str
    amount_minor: int
    note: str
    status: DepositStatus
    proposed_at: Instant
    settled_at: Instant | None


class DepositList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of deposits, newest first."""

    deposits: list[Deposit]
    next: Annotated[str | None, Meta(description="Cursor of the next page; null on the last one.")]


async def propose(teller: Teller, asked: Asked[DepositSlip, None]) -> Answer:
    """Write a slip down: 201, or 200 when this vendor has sent the very same before."""
    given = asked.body
    slip = Slip(
        vendor_id=asked.caller.vendor_id,
        bank=given.bank,
        bank_reference=given.bank_reference,
        amount_minor=given.amount_minor,
        note=given.note,
    )
    try:
        made = await teller.write(lambda db: _proposed(db, teller, slip, asked))
    except DepositRepeated:
        before = await deposits.of_reference(teller.reads, slip)
        if before is None or before.amount_minor != slip.amount_minor:
            raise
        return Answer(status=200, body=shown(before))
    place = f"/v1/deposits/{names.name(names.DEPOSIT, made.deposit_id)}"
    return Answer(status=201, body=shown(made), headers=(("Location", place),))


async def find(teller: Teller, asked: Asked[None, None]) -> Answer:
    """Answer one deposit of the caller's."""
    number = names.number(names.DEPOSIT, asked.path["deposit"], unknown=DepositUnknown)
    one = await deposits.find_of(teller.reads, asked.caller.vendor_id, number)
    return Answer(status=200, body=shown(one))


async def listing(teller: Teller, asked: Asked[None, Page]) -> Answer:
    """Answer a page of the caller's deposits."""
    page = asked.query
    before = pages.place(LIST, page.cursor, beginning=deposits.NEWEST)
    rows = await deposits.of_vendor(
        teller.reads, asked.caller.vendor_id, before=before, most=page.limit + 1
    )
    cut, after = pages.cut(rows, limit=page.limit, of=LIST, number=lambda one: one.deposit_id)
    return Answer(status=200, body=DepositList(deposits=[shown(one) for one in cut], next=after))


def shown(one: deposits.Deposit) -> Deposit:
    """Return a deposit as its vendor sees it: without who checks at the utility."""
    return Deposit(
        deposit=names.name(names.DEPOSIT, one.deposit_id),
        bank=one.bank,
        bank_reference=one.bank_reference,
        amount_minor=one.amount_minor,
        note=one.note,
        status=one.status,
        proposed_at=one.proposed_at,
        settled_at=one.settled_at,
    )


async def _proposed(
    db: Connection, teller: Teller, slip: Slip, asked: Asked[DepositSlip, None]
) -> deposits.Deposit:
    return await deposits.propose(
        db, slip, deposit_id=teller.numbers.next(), who=asked.caller.who, now=asked.now
    )
