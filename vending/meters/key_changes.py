"""Key changes of meters as rows: those that are due, and what a vend writes of those it issues.

An order is open while its meter is marked due, it is not withdrawn and its codes are not issued.
The fragments are of the vend's one statement, which only the sequencer writes.
"""

from collections.abc import Sequence
from datetime import datetime

from vending.key_data import KeyChange, KeyData, change_of
from vending.meters.meter import Meter
from vending.postgres.columns import number_array, numbers, text_array, texts
from vending.postgres.pool import Session
from vending.values import Value, replace

PARAMETERS = 10
"""How many parameters `insert_issued` takes."""

CODES_JOINED = ","

DUE = """
select meter_number, order_id, from_sgc, from_krn, from_ti, from_base, from_ken,
       to_sgc, to_krn, to_ti, to_base, to_ken
  from key_change_order
 where meter_number = any($1::text[]) and withdrawn_at is null
   and not exists (select from key_change where key_change.order_id = key_change_order.order_id)
"""


class Issued(Value, frozen=True):
    """A key change whose codes are issued, with the payment whose token they stand above."""

    meter_number: str
    change: KeyChange
    payment_id: int | None = None


def key_of(meter: Meter) -> KeyData:
    """Return the key that the directory knows a meter by."""
    return KeyData(
        sgc=meter.sgc, krn=meter.krn, ti=meter.ti, tid_base=meter.tid_base, ken=meter.ken
    )


def under(meter: Meter, key: KeyData) -> Meter:
    """Return a meter's record under another key, with no key change due."""
    return replace(
        meter, sgc=key.sgc, krn=key.krn, ti=key.ti, tid_base=key.tid_base, ken=key.ken,
        key_change_due=False,
    )  # fmt: skip


async def due(db: Session, meter_numbers: Sequence[str]) -> dict[str, KeyChange]:
    """Return the open order of each of these meters that has one, by meter number."""
    return {row["meter_number"]: change_of(row) for row in await db.fetch(DUE, meter_numbers)}


def columns(issued: Sequence[Issued], *, issued_at: datetime) -> tuple[object, ...]:
    """Return key changes issued at one instant as the parameters of `insert_issued`."""
    keys = [one.change.new for one in issued]
    return (
        numbers([one.change.order_id for one in issued]),
        numbers([one.payment_id for one in issued]),
        texts([one.meter_number for one in issued]),
        texts([CODES_JOINED.join(one.change.codes) for one in issued]),
        texts([key.sgc for key in keys]),
        numbers([key.krn for key in keys]),
        numbers([key.ti for key in keys]),
        numbers([key.tid_base for key in keys]),
        numbers([key.ken for key in keys]),
        issued_at,
    )


def insert_issued(first: int) -> str:
    """Return the steps that store codes and move meters to their new keys.

    Parameters are numbered from `first`. A meter that is not due any more, because its order was
    withdrawn meanwhile, or that is due by another order, is not moved; then its codes have no
    meter, which the table refuses, and with them the whole statement.
    """
    kinds = ("bigint", "bigint", "text", "text", "text", "smallint", "smallint", "smallint",
             "smallint")  # fmt: skip
    arrays = ", ".join(
        text_array(number) if kind == "text" else number_array(number, kind)
        for number, kind in enumerate(kinds, start=first)
    )
    return f"""
keyed as (
    select order_id, payment_id, meter_number, codes, sgc, krn, ti, tid_base, ken
      from unnest({arrays})
           as keyed (order_id, payment_id, meter_number, codes, sgc, krn, ti, tid_base, ken)
), rekeyed as (
    update meter
       set sgc = keyed.sgc, krn = keyed.krn, ti = keyed.ti, tid_base = keyed.tid_base,
           ken = keyed.ken, key_change_due = false
      from keyed
     where meter.meter_number = keyed.meter_number and meter.key_change_due
       and not exists (select from key_change_order
                        where key_change_order.order_id = keyed.order_id
                          and withdrawn_at is not null
                       offset 0)
    returning meter.meter_number
), coded as (
    insert into key_change (order_id, payment_id, meter_number, codes, issued_at)
    select keyed.order_id, keyed.payment_id, rekeyed.meter_number,
           string_to_array(keyed.codes, '{CODES_JOINED}'), ${first + len(kinds)}::timestamptz
      from keyed
      left join rekeyed on rekeyed.meter_number = keyed.meter_number
)"""  # noqa: S608 -- only parameter numbers and type names are put into the text
