"""Deposits: proposed by one, confirmed by another, booked once, whoever types them again."""

import asyncio

import asyncpg
import pytest

from tests.conftest import SettableClock
from tests.database import Database
from tests.vendors.deposited import a_deposit, a_slip
from vending import audit_log
from vending.ledger.journal import trial_balance
from vending.postgres import pool
from vending.postgres.pool import Connection
from vending.vendors import deposits, floats
from vending.vendors.deposits import (
    CheckerIsMaker,
    DepositMalformed,
    DepositRepeated,
    DepositSettled,
    DepositStatus,
    DepositUnknown,
)
from vending.vendors.floats import LimitMalformed, LimitTooLow
from vending.vendors.vendor import Vendor, VendorUnknown


async def test_a_confirmed_deposit_is_in_the_float_and_in_the_ledger(
    app: Connection, acme: Vendor, clock: SettableClock
) -> None:
    done = await a_deposit(app, clock, acme.vendor_id, bank="kcb", amount_minor=1_000_000)
    assert (done.status, done.settled_by) == (DepositStatus.CONFIRMED, "Otieno")
    assert (await floats.find(app, "acme")).balance_minor == 1_000_000
    assert await trial_balance(app) == {"bank:kcb": 1_000_000, "float:acme": -1_000_000}
    told = [(act.who, act.what) for act in await audit_log.of_subject(app, "vendor:acme")]
    assert told[:2] == [("Otieno", "deposit confirmed"), ("Jane", "deposit proposed")]
    (listed,) = await deposits.of_vendor(app, "acme")
    assert listed == done
    assert await deposits.waiting(app) == []


async def test_a_proposed_deposit_counts_for_nothing(
    app: Connection, acme: Vendor, clock: SettableClock
) -> None:
    made = await deposits.propose(app, a_slip(note="slip 7"), deposit_id=1, who="Jane", now=clock())
    assert await deposits.waiting(app) == [made]
    assert (await floats.find(app, acme.vendor_id)).balance_minor == 0
    assert await trial_balance(app) == {}


@pytest.mark.parametrize("who", ["Jane", " jane ", "JANE"])
async def test_nobody_confirms_what_they_proposed(
    app: Connection, acme: Vendor, clock: SettableClock, who: str
) -> None:
    await deposits.propose(app, a_slip(), deposit_id=1, who="Jane", now=clock())
    with pytest.raises(CheckerIsMaker):
        await deposits.confirm(app, 1, entry_id=lambda: 2, who=who, now=clock())
    assert (await floats.find(app, acme.vendor_id)).balance_minor == 0
    with pytest.raises(asyncpg.CheckViolationError):
        await app.execute(
            "update deposit set status = 'confirmed', settled_by = 'JANE', settled_at = $1,"
            " entry_id = 2",
            clock(),
        )


@pytest.mark.parametrize("again", ["FT1", " ft1 "])
async def test_the_same_bank_reference_is_caught(
    app: Connection, acme: Vendor, clock: SettableClock, again: str
) -> None:
    await deposits.propose(app, a_slip(bank_reference="FT1"), deposit_id=1, who="A", now=clock())
    slip = a_slip(acme.vendor_id, bank_reference=again)
    with pytest.raises(DepositRepeated):
        await deposits.propose(app, slip, deposit_id=2, who="B", now=clock())
    await deposits.confirm(app, 1, entry_id=lambda: 2, who="C", now=clock())
    with pytest.raises(DepositRepeated):
        await deposits.propose(app, slip, deposit_id=3, who="B", now=clock())
    elsewhere = a_slip(bank="equity", bank_reference=again)
    await deposits.propose(app, elsewhere, deposit_id=4, who="B", now=clock())


async def test_a_number_used_twice_is_not_taken_for_a_repeated_deposit(
    app: Connection, acme: Vendor, clock: SettableClock
) -> None:
    await deposits.propose(app, a_slip(acme.vendor_id), deposit_id=1, who="A", now=clock())
    with pytest.raises(asyncpg.UniqueViolationError):
        await deposits.propose(app, a_slip(), deposit_id=1, who="A", now=clock())


async def test_a_rejected_deposit_may_be_typed_again(
    app: Connection, acme: Vendor, clock: SettableClock
) -> None:
    await deposits.propose(app, a_slip(bank_reference="FT1"), deposit_id=1, who="A", now=clock())
    gone = await deposits.reject(app, 1, note="wrong sum", who="A", now=clock())
    assert gone.status is DepositStatus.REJECTED
    await deposits.propose(
        app, a_slip(acme.vendor_id, bank_reference="FT1"), deposit_id=2, who="A", now=clock()
    )
    with pytest.raises(DepositSettled):
        await deposits.confirm(app, 1, entry_id=lambda: 9, who="B", now=clock())


async def test_a_deposit_confirmed_by_many_at_once_counts_once(
    app: Connection, database: Database, acme: Vendor, clock: SettableClock
) -> None:
    await deposits.propose(app, a_slip(), deposit_id=1, who="Jane", now=clock())

    async def one(number: int) -> bool:
        db = await pool.connect(database.dsn)
        try:
            await deposits.confirm(
                db, 1, entry_id=lambda: 100 + number, who=f"P{number}", now=clock()
            )
        except DepositSettled:
            return False
        finally:
            await db.close()
        return True

    assert sum(await asyncio.gather(*map(one, range(8)))) == 1
    assert (await floats.find(app, acme.vendor_id)).balance_minor == 1_000_000


async def test_what_is_not_there_is_neither_confirmed_nor_rejected(
    app: Connection, clock: SettableClock
) -> None:
    with pytest.raises(DepositUnknown):
        await deposits.confirm(app, 1, entry_id=lambda: 2, who="A", now=clock())
    with pytest.raises(DepositUnknown):
        await deposits.reject(app, 1, note="", who="A", now=clock())
    with pytest.raises(VendorUnknown):
        await deposits.propose(app, a_slip("nobody"), deposit_id=1, who="A", now=clock())


@pytest.mark.parametrize(
    ("field", "value"),
    [("bank", "K C B"), ("bank", ""), ("bank_reference", " "), ("bank_reference", "x" * 65),
     ("bank_reference", "a\x00"), ("amount_minor", 0), ("amount_minor", -1),
     ("amount_minor", 10**13 + 1)],
)  # fmt: skip
async def test_a_deposit_that_cannot_be_is_refused(
    app: Connection, acme: Vendor, clock: SettableClock, field: str, value: object
) -> None:
    slip = a_slip(acme.vendor_id, **{field: value})
    with pytest.raises(DepositMalformed, match=f"field={field}"):
        await deposits.propose(app, slip, deposit_id=1, who="A", now=clock())


async def test_a_credit_limit_is_never_below_what_is_used(
    app: Connection, acme: Vendor, clock: SettableClock
) -> None:
    await floats.set_limit(app, "acme", limit_minor=5_000, note="", who="Jane", now=clock())
    assert (await floats.every(app))["acme"].available_minor == 5_000
    await app.execute("update vendor_float set balance_minor = -3000")
    with pytest.raises(LimitTooLow):
        await floats.set_limit(
            app, acme.vendor_id, limit_minor=2_999, note="", who="Jane", now=clock()
        )
    await floats.set_limit(app, "acme", limit_minor=3_000, note="", who="Jane", now=clock())
    for limit in (-1, 10**14 + 1):
        with pytest.raises(LimitMalformed):
            await floats.set_limit(app, "acme", limit_minor=limit, note="", who="J", now=clock())
    with pytest.raises(VendorUnknown):
        await floats.set_limit(app, "nobody", limit_minor=1, note="", who="J", now=clock())
    assert (await audit_log.verify(app)).count == 3


async def test_whoever_holds_a_float_and_stops_is_cut_off(
    app: Connection, database: Database, acme: Vendor, clock: SettableClock
) -> None:
    asked = asyncio.Event()
    stopped = await pool.connect(database.dsn)

    async def stops() -> None:
        async with pool.transaction(stopped):
            await floats.hold_briefly(stopped)
            await stopped.execute("update vendor_float set balance_minor = 7")
            asked.set()
            await asyncio.Event().wait()

    holder = asyncio.create_task(stops())
    await asked.wait()
    await floats.set_limit(app, acme.vendor_id, limit_minor=1, note="", who="Jane", now=clock())
    assert (await floats.find(app, "acme")).balance_minor == 0
    holder.cancel()
    await asyncio.wait({holder})


async def test_money_rows_cannot_be_deleted_by_the_server(app: Connection, acme: Vendor) -> None:
    assert acme.vendor_id == "acme"
    for statement in ("delete from deposit", "delete from act", "update act set who = 'x'",
                      "delete from vendor_float", "update commission_rate set rate_ppm = 1",
                      "delete from vendor", "update api_key set seal = ''", "delete from api_key",
                      "update deposit set amount_minor = 1"):  # fmt: skip
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.execute(statement)
