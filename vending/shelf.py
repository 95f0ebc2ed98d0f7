"""The meters of one batch: as they were read, and as each sale leaves them for the next.

A meter may buy twice in a batch. The second purchase must see the first one's energy, token
identifier and repaid debts, although nothing is written yet.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec

from vending.in_flight import InFlight
from vending.key_data import KeyChange
from vending.meters import directory, key_changes
from vending.meters.check_digits import suspects
from vending.meters.meter import (
    DebtRecord,
    Meter,
    MeterNumberMalformed,
    MeterState,
    MeterUnknown,
    parse_meter_number,
)
from vending.postgres.pool import Session
from vending.tariffs.quote import Debt, Quote, Usage


class Shelf:
    """The meters of a batch: as read, and as each decision leaves them for the next one."""

    def __init__(
        self,
        found: Mapping[str, tuple[Meter, MeterState]],
        owed: Mapping[str, tuple[Debt, ...]],
        orders: Mapping[str, KeyChange],
    ) -> None:
        self._found = found
        self._orders = orders
        self._rekeyed: dict[str, Meter] = {}
        self._first_owed = owed
        self._states = {number: state for number, (_, state) in found.items()}
        self._owed = dict(owed)
        self.changed: dict[str, MeterState] = {}
        self.repaid: list[tuple[str, int, int]] = []

    def take(self, meter_number: str) -> tuple[Meter, MeterState, tuple[Debt, ...]]:
        """Return a meter, its state by now, and its open debts; raises MeterUnknown."""
        if meter_number not in self._found:
            raise MeterUnknown(meter_number=meter_number)
        meter, _ = self._found[meter_number]
        if meter.key_change_due:
            meter = self._rekeyed.get(meter_number, meter)
        return meter, self._states[meter_number], self._owed.get(meter_number, ())

    def named(self, reference: str) -> str:
        """Return the meter number that a reference names; raises MeterNumberMalformed.

        A reference that is the number of a meter here has been checked already.
        """
        return reference if reference in self._found else parse_meter_number(reference)

    def order_of(self, meter_number: str) -> KeyChange | None:
        """Return the key change that goes with a meter's next sale; None when none is open."""
        return self._orders.get(meter_number)

    @property
    def owed_after(self) -> dict[str, tuple[Debt, ...]]:
        """The debts left to each changed meter that had any, none of them as an empty tuple."""
        return {number: self._owed[number] for number in self.changed if number in self._owed}

    def afresh(self) -> "Shelf":
        """Return the shelf as it was read, before any sale."""
        return Shelf(self._found, self._first_owed, self._orders)

    def put_back(self, meter: Meter, bill: Quote, *, tid: int) -> None:
        """Leave a meter as a sale leaves it."""
        number, usage = meter.meter_number, bill.usage_after
        if number in self._orders:
            self._rekeyed[number] = meter
        paid = dict(bill.debts_taken)
        if paid:
            self.repaid += [(number, debt_id, minor) for debt_id, minor in paid.items()]
            left = [_less(debt, paid.get(debt.debt_id, 0)) for debt in self._owed[number]]
            self._owed[number] = tuple(debt for debt in left if debt.balance_minor)
        self._states[number] = self.changed[number] = MeterState(
            meter_number=number,
            tid_base=meter.tid_base,
            last_tid=tid,
            month=usage.month,
            month_energy_wh=usage.energy_wh,
            history_wh=usage.history_wh,
            fees_paid_through=usage.fees_paid_through,
            open_debts=len(self._owed.get(number, ())),
        )

    def repay(self, number: str, paid: Mapping[int, int]) -> None:
        """Leave a meter as a payment of its debts leaves it: cents by the debt's number."""
        self.repaid += [(number, debt_id, minor) for debt_id, minor in paid.items()]
        left = [_less(debt, paid.get(debt.debt_id, 0)) for debt in self._owed[number]]
        self._owed[number] = tuple(debt for debt in left if debt.balance_minor)
        self._states[number] = self.changed[number] = msgspec.structs.replace(
            self._states[number], open_debts=len(self._owed[number])
        )

    def move(self, meter: Meter) -> None:
        """Leave a meter under the key that its record has now; its state stays."""
        self._found = {**self._found, meter.meter_number: (meter, self._states[meter.meter_number])}

    def stamp(self, meter: Meter, *, tid: int) -> None:
        """Leave a meter as a token leaves it that is no sale: all but its identifier stays."""
        number = meter.meter_number
        self._states[number] = self.changed[number] = msgspec.structs.replace(
            self._states[number], tid_base=meter.tid_base, last_tid=tid
        )


async def read(db: Session, references: Iterable[str], *, in_flight: InFlight) -> Shelf:
    """Return the shelf of the meters that these references name; what names no meter is left out.

    One read for the meters, one more for debts when any of them has some, and one for key changes
    when any is due. A meter that the batch in flight changes stands as that batch leaves it,
    whether or not the reads saw it.
    """
    numbers = _named(list(references))
    found = await directory.find_with_state(db, list(numbers)) if numbers else {}
    touched = found.keys() & in_flight.states.keys()
    for number in touched:
        found[number] = (found[number][0], in_flight.states[number])
    indebted = [
        number for number, (_, state) in found.items() if state.open_debts and number not in touched
    ]
    debts = await directory.debts(db, indebted) if indebted else {}
    owed = {number: tuple(map(_debt, records)) for number, records in debts.items()}
    owed |= {number: in_flight.owed[number] for number in touched if number in in_flight.owed}
    due = [number for number, (meter, _) in found.items() if meter.key_change_due]
    for number, key in in_flight.rekeyed.items():
        if number in found:
            meter, state = found[number]
            found[number] = (key_changes.under(meter, key), state)
    orders = await key_changes.due(db, due) if due else {}
    return Shelf(found, owed, orders)


@asynccontextmanager
async def reading(
    db: Session | None, references: Iterable[str], *, in_flight: InFlight
) -> AsyncIterator["asyncio.Task[Shelf] | None"]:
    """Read the shelf of what these references name while the block does other things.

    The block awaits what it is given; without a `db` that is None. It is given up with the block.
    """
    if db is None:
        yield None
        return
    task = asyncio.create_task(read(db, references, in_flight=in_flight))
    try:
        yield task
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        elif not task.cancelled():
            task.exception()  # what the block has not taken is of no interest


def _named(references: Sequence[str]) -> set[str]:
    """Return the meter numbers that references name; nearly all are plain numbers, checked at once.

    What only looks like one is left to be refused when its payment is decided.
    """
    strange = [references[at] for at in suspects(references)]
    numbers = set(references).difference(strange)
    for reference in strange:
        with suppress(MeterNumberMalformed):
            numbers.add(parse_meter_number(reference))
    return numbers


def usage_of(state: MeterState) -> Usage:
    """Return what pricing must know of a meter's state."""
    return Usage(
        month=state.month,
        energy_wh=state.month_energy_wh,
        history_wh=state.history_wh,
        fees_paid_through=state.fees_paid_through,
    )


def _debt(record: DebtRecord) -> Debt:
    return Debt(
        debt_id=record.debt_id,
        kind=record.kind,
        priority=record.priority,
        mode=record.mode,
        rate_ppm=record.rate_ppm,
        amount_minor=record.amount_minor,
        balance_minor=record.balance_minor,
    )


def _less(debt: Debt, minor: int) -> Debt:
    return msgspec.structs.replace(debt, balance_minor=debt.balance_minor - minor)
