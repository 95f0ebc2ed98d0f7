"""Key changes that a vendor asks for: what is asked, what was issued for it, and both as rows.

A vendor's reference is one set of codes for ever (P2). Codes carry no units and no identifier, so
they leave a meter's state as it is; the directory is moved only with a meter that leaves the key it
has there.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum

import asyncpg

from vending.errors import Refused
from vending.key_data import KeyChange, change_of
from vending.meters.key_changes import CODES_JOINED
from vending.postgres.columns import number_array, numbers, text_array, texts
from vending.postgres.pool import Session
from vending.values import Value

Key = tuple[str, str]
"""A vendor as an operator, and its reference."""

KeyName = tuple[str, int, int]
"""A supply group code, a key revision number and a tariff index."""

READ = """
select key_change_order.order_id, key_change_order.meter_number, from_sgc, from_krn, from_ti,
       from_base, from_ken, to_sgc, to_krn, to_ti, to_base, to_ken, ordered_by, note, operator,
       reference, codes, issued_at
  from key_change_order
  join key_change using (order_id)
 where (operator, reference) in (select asked.operator, asked.reference
                                   from unnest($1::text[], $2::text[])
                                        as asked (operator, reference))
"""

_KINDS = (
    "bigint", "text", "text", "smallint", "smallint", "smallint", "smallint", "text", "smallint",
    "smallint", "smallint", "smallint", "text", "text", "text", "text", "text", "smallint",
)  # fmt: skip


class KeySame(Refused):
    """The meter has that key already.

    A key change goes from one key to another. Nothing was made.
    """

    code = "key_same"


class KeyNotOnRecord(Refused):
    """The meter is on record under another key than the change begins or ends with.

    No codes were made, because the meter's next token would be under a key that it does not have.
    Ask what is on record, and change the key from that or to that.
    """

    code = "key_not_on_record"


class BaseDateEarlier(Refused):
    """The base date of the new key is earlier than that of the old one.

    The meter would forget its token identifiers and take used tokens again. Choose another key.
    """

    code = "base_date_earlier"


class KeyChangeWaits(Refused):
    """Another change of this meter's key is due, or is being made at this moment.

    Nothing was made. Its codes go with the meter's next sale; ask again after that, or have the
    order withdrawn.
    """

    code = "key_change_waits"


class KeyAsking(StrEnum):
    """How a key change is asked for; the value is its note on the order."""

    UPDATE = "UpdateMeterKey"
    """From the key that the meter's card or face tells, to the one on record."""
    CHANGE = "EngKCT"
    """From one key to another, both told."""


class KeysAsked(Value, frozen=True, kw_only=True):
    """What is asked for; the meter is beside it. `new` is None where it is the one on record."""

    kind: KeyAsking
    old: KeyName
    new: KeyName | None
    asked_by: str


class KeysMade(Value, frozen=True, kw_only=True):
    """A key change that was issued to a vendor. `moves` says that the directory follows it."""

    operator: str
    reference: str
    kind: KeyAsking
    meter_number: str
    change: KeyChange
    asked_by: str
    issued_at: datetime
    moves: bool = False

    @property
    def key(self) -> Key:
        """What it is called for ever."""
        return self.operator, self.reference

    def answers(self, asked: KeysAsked, *, meter_number: str) -> bool:
        """Whether this is what somebody asks for."""
        return (
            (self.kind, self.meter_number, self.change.old.name)
            == (asked.kind, meter_number, asked.old)
            and asked.new in (None, self.change.new.name)
        )  # fmt: skip


async def read(db: Session, keys: Collection[Key]) -> dict[Key, KeysMade]:
    """Return those of these key changes that were issued."""
    if not keys:
        return {}
    operators, references = zip(*keys, strict=True)
    found = map(_made, await db.fetch(READ, operators, references))
    return {one.key: one for one in found}


async def find(db: Session, key: Key) -> KeysMade | None:
    """Return the key change under a vendor's reference; None when none was issued."""
    return (await read(db, [key])).get(key)


def _made(row: asyncpg.Record) -> KeysMade:
    return KeysMade(
        operator=row["operator"], reference=row["reference"], kind=KeyAsking(row["note"]),
        meter_number=row["meter_number"], change=change_of(row, codes=tuple(row["codes"])),
        asked_by=row["ordered_by"], issued_at=row["issued_at"],
    )  # fmt: skip


def columns(made: Sequence[KeysMade], *, issued_at: datetime) -> tuple[object, ...]:
    """Return key changes issued at one instant as the parameters of `insert_asked`."""
    sides = [[one.change.old for one in made], [one.change.new for one in made]]
    return (
        numbers([one.change.order_id for one in made]),
        texts([one.meter_number for one in made]),
        *(
            column
            for side in sides
            for column in (
                texts([key.sgc for key in side]),
                numbers([key.krn for key in side]),
                numbers([key.ti for key in side]),
                numbers([key.tid_base for key in side]),
                numbers([key.ken for key in side]),
            )
        ),
        texts([one.asked_by for one in made]),
        texts([one.kind.value for one in made]),
        texts([one.operator for one in made]),
        texts([one.reference for one in made]),
        texts([CODES_JOINED.join(one.change.codes) for one in made]),
        numbers([int(one.moves) for one in made]),
        issued_at,
    )


def insert_asked(first: int) -> str:
    """Return the steps that store orders with their codes, and move meters that leave their key.

    Parameters are numbered from `first`. A meter that is not on record under the key it was read
    with, or has become due, has no row to join: then its codes have no meter, which the table
    refuses, and with them the whole statement. Neither has one whose record somebody is changing,
    perhaps with a long list of others: no sale is to wait for that.
    """
    arrays = ", ".join(
        text_array(number) if kind == "text" else number_array(number, kind)
        for number, kind in enumerate(_KINDS, start=first)
    )
    at = f"${first + len(_KINDS)}::timestamptz"
    return f"""
asked_keys as (
    select order_id, meter_number, from_sgc, from_krn, from_ti, from_base, from_ken,
           to_sgc, to_krn, to_ti, to_base, to_ken, ordered_by, note, operator, reference,
           codes, moves
      from unnest({arrays})
           as asked_keys (order_id, meter_number, from_sgc, from_krn, from_ti, from_base, from_ken,
                          to_sgc, to_krn, to_ti, to_base, to_ken, ordered_by, note, operator,
                          reference, codes, moves)
), free_meters as (
    select meter.meter_number
      from meter
      join asked_keys using (meter_number)
     where moves = 1
       for update of meter skip locked
), left_keys as (
    update meter
       set sgc = to_sgc, krn = to_krn, ti = to_ti, tid_base = to_base, ken = to_ken
      from asked_keys
      join free_meters using (meter_number)
     where meter.meter_number = asked_keys.meter_number and moves = 1 and not key_change_due
       and (sgc, krn, ti) = (from_sgc, from_krn, from_ti)
    returning meter.meter_number
), ordered_keys as (
    insert into key_change_order
           (order_id, list_id, meter_number, from_sgc, from_krn, from_ti, from_base, from_ken,
            to_sgc, to_krn, to_ti, to_base, to_ken, ordered_by, note, ordered_at, operator,
            reference)
    select order_id, order_id, meter_number, from_sgc, from_krn, from_ti, from_base, from_ken,
           to_sgc, to_krn, to_ti, to_base, to_ken, ordered_by, note, {at}, operator, reference
      from asked_keys
), coded_keys as (
    insert into key_change (order_id, meter_number, codes, issued_at)
    select asked_keys.order_id, coalesce(left_keys.meter_number, meter.meter_number),
           string_to_array(asked_keys.codes, '{CODES_JOINED}'), {at}
      from asked_keys
      left join left_keys on left_keys.meter_number = asked_keys.meter_number
      left join meter on moves = 0 and meter.meter_number = asked_keys.meter_number
       and (meter.sgc, meter.krn, meter.ti) = (to_sgc, to_krn, to_ti)
)"""  # noqa: S608 -- only parameter numbers and type names are put into the text
