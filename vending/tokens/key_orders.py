"""Ordering key changes: which meters are to move to which key, decided by a person.

An order changes no key: the codes go with the meter's next sale, and the directory follows then.
Each meter is judged by itself, and all that are taken are one act in the log of acts.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from vending import audit_log
from vending.errors import Rejected
from vending.key_data import KeyChange, KeyData, change_of
from vending.meters import directory
from vending.meters.key_changes import key_of
from vending.meters.meter import KEY_TYPE_UNIQUE, Meter
from vending.numbering import Numbers
from vending.postgres import pool
from vending.postgres.pool import Connection, Session
from vending.tokens.identifiers import BASE_DATES
from vending.tokens.keys import Description
from vending.values import Value

CHUNK = 5_000
"""Meters judged and written in one go; all the chunks of an order are one transaction."""

NAMED_MAX = 20
"""Meters that the log of acts names; of longer lists it has the number, and the orders the rest."""

# Marking the meter is what makes an order the only open one: a meter that is due already, or whose
# key has changed since it was looked at, gets none.
ADD = """
with asked as (
    select order_id, meter_number, from_sgc, from_krn, from_ti, from_base, from_ken,
           to_sgc, to_krn, to_ti, to_base, to_ken
      from unnest($1::bigint[], $2::text[], $3::text[], $4::smallint[], $5::smallint[],
                  $6::smallint[], $7::smallint[], $8::text[], $9::smallint[], $10::smallint[],
                  $11::smallint[], $12::smallint[])
           as asked (order_id, meter_number, from_sgc, from_krn, from_ti, from_base, from_ken,
                     to_sgc, to_krn, to_ti, to_base, to_ken)
), marked as (
    update meter
       set key_change_due = true
      from asked
     where meter.meter_number = asked.meter_number and not meter.key_change_due
       and (meter.sgc, meter.krn, meter.ti) = (from_sgc, from_krn, from_ti)
    returning meter.meter_number
)
insert into key_change_order
       (order_id, list_id, meter_number, from_sgc, from_krn, from_ti, from_base, from_ken,
        to_sgc, to_krn, to_ti, to_base, to_ken, ordered_by, note, ordered_at)
select order_id, $13, meter_number, from_sgc, from_krn, from_ti, from_base, from_ken,
       to_sgc, to_krn, to_ti, to_base, to_ken, $14, $15, $16
  from asked
  join marked using (meter_number)
returning meter_number
"""

WITHDRAW = """
with unmarked as (
    update meter
       set key_change_due = false
     where meter_number = any($1::text[]) and key_change_due
    returning meter_number
)
update key_change_order
   set withdrawn_by = $2, withdrawn_at = $3
 where withdrawn_at is null
   and meter_number in (select meter_number from unmarked)
   and not exists (select from key_change where key_change.order_id = key_change_order.order_id)
returning meter_number
"""

OPEN = """
select order_id, meter_number, from_sgc, from_krn, from_ti, from_base, from_ken,
       to_sgc, to_krn, to_ti, to_base, to_ken, ordered_by, ordered_at
  from key_change_order
 where withdrawn_at is null
   and not exists (select from key_change where key_change.order_id = key_change_order.order_id)
 order by order_id
 limit $1
"""


class KeyChangeUntold(Rejected):
    """An order of key changes names a key: supply group, key revision or tariff index.

    What is not named stays as the meter has it.
    """

    code = "key_change_untold"


class Wanted(Value, frozen=True, kw_only=True):
    """A meter and the key it is to have; what is None stays as it is."""

    meter_number: str
    sgc: str | None = None
    krn: int | None = None
    ti: int | None = None


class Ordered(Value, frozen=True, kw_only=True):
    """What came of a list: meters that are due now, and those that are not, each with why."""

    taken: list[str]
    refused: list[tuple[str, str]]


class OpenOrder(Value, frozen=True, kw_only=True):
    """A key change that waits for its meter's next sale."""

    meter_number: str
    change: KeyChange
    ordered_by: str
    ordered_at: datetime


def subject(list_id: int) -> str:
    """Return what the log of acts calls a list of orders."""
    return f"key-changes:{list_id}"


async def order(
    db: Connection,
    wanted: Sequence[Wanted],
    *,
    held: Iterable[Description],
    numbers: Numbers,
    who: str,
    note: str,
    now: datetime,
) -> Ordered:
    """Order key changes: each goes with its meter's next sale.

    `held` describes the vending keys there are: base date and expiry number come from them.
    Raises KeyChangeUntold, and PersonUnnamed; a meter's own fault is in the answer.
    """
    if any((one.sgc, one.krn, one.ti) == (None, None, None) for one in wanted):
        raise KeyChangeUntold
    keys = {(one.sgc, one.krn): one for one in held if one.key_type == KEY_TYPE_UNIQUE}
    list_id, who = numbers.next(), audit_log.person(who)
    ordered = Ordered(taken=[], refused=[])
    async with pool.transaction(db):
        for first in range(0, len(wanted), CHUNK):
            chunk = {one.meter_number: one for one in wanted[first : first + CHUNK]}
            changes = await _judged(db, chunk, keys, numbers, ordered)
            rows = await db.fetch(ADD, *_columns(changes), list_id, who, note, now)
            taken = {row["meter_number"] for row in rows}
            ordered.taken.extend(number for number in changes if number in taken)
            ordered.refused.extend(
                (number, "key_change_due") for number in changes if number not in taken
            )
        if ordered.taken:
            await audit_log.append(
                db, who=who, what="key changes ordered", subject=subject(list_id),
                facts=_facts(ordered.taken, note), now=now,
            )  # fmt: skip
    return ordered


async def withdraw(
    db: Connection, meter_numbers: Sequence[str], *, who: str, note: str, now: datetime
) -> list[str]:
    """Take back the open orders of meters; return the meters that were due."""
    who = audit_log.person(who)
    async with pool.transaction(db):
        rows = await db.fetch(WITHDRAW, meter_numbers, who, now)
        taken = sorted(row["meter_number"] for row in rows)
        if taken:
            await audit_log.append(
                db, who=who, what="key changes withdrawn", subject="key-changes",
                facts=_facts(taken, note), now=now,
            )  # fmt: skip
    return taken


async def open_ones(db: Session, *, most: int) -> list[OpenOrder]:
    """Return the orders that wait for a sale, oldest first."""
    return [
        OpenOrder(
            meter_number=row["meter_number"], change=change_of(row),
            ordered_by=row["ordered_by"], ordered_at=row["ordered_at"],
        )
        for row in await db.fetch(OPEN, most)
    ]  # fmt: skip


async def _judged(
    db: Connection,
    wanted: Mapping[str, Wanted],
    keys: Mapping[tuple[str, int], Description],
    numbers: Numbers,
    ordered: Ordered,
) -> dict[str, KeyChange]:
    """Return the changes that can be made, by meter; the others are noted as refused."""
    meters = await directory.find(db, list(wanted))
    changes = {}
    for number, one in wanted.items():
        meter = meters.get(number)
        new = None if meter is None else _new_key(meter, one, keys)
        fault = "meter_unknown" if meter is None else _fault(meter, new, keys)
        if fault or meter is None or new is None:
            ordered.refused.append((number, fault))
        else:
            changes[number] = KeyChange(order_id=numbers.next(), old=key_of(meter), new=new)
    return changes


def _new_key(
    meter: Meter, wanted: Wanted, keys: Mapping[tuple[str, int], Description]
) -> KeyData | None:
    """Return the key that a meter is to have; None when there is no such vending key."""
    sgc, krn = wanted.sgc or meter.sgc, wanted.krn or meter.krn
    found = keys.get((sgc, krn))
    if found is None:
        return None
    ti = meter.ti if wanted.ti is None else wanted.ti
    return KeyData(sgc=sgc, krn=krn, ti=ti, tid_base=int(found.base_date), ken=found.ken)


def _fault(meter: Meter, new: KeyData | None, keys: Mapping[tuple[str, int], Description]) -> str:
    """Say why a meter cannot be moved to a key; nothing when it can."""
    if meter.status == "removed":
        return "meter_removed"
    if new is None or (meter.sgc, meter.krn) not in keys:
        return "key_missing"
    if meter.key_type != KEY_TYPE_UNIQUE:
        return "key_unfit"
    if new == key_of(meter):
        return "key_same"
    # A meter forgets its identifiers when the base date changes: an earlier one would repeat them.
    if BASE_DATES[new.tid_base] < BASE_DATES[meter.tid_base]:
        return "base_date_earlier"
    return ""


def _columns(changes: Mapping[str, KeyChange]) -> tuple[list[object], ...]:
    all_of = list(changes.values())
    sides = [[one.old for one in all_of], [one.new for one in all_of]]
    return (
        [one.order_id for one in all_of],
        list(changes),
        *(
            [getattr(key, name) for key in side]
            for side in sides
            for name in ("sgc", "krn", "ti", "tid_base", "ken")
        ),
    )


def _facts(taken: Sequence[str], note: str) -> Mapping[str, audit_log.Fact]:
    return {"meters": len(taken), "first": list(taken[:NAMED_MAX]), "note": note}
