"""How a vend changes meters: their states, and the debts that a purchase paid off.

Fragments of the vend's one statement. Only the sequencer writes them, and it owns its meters, so
nothing here locks or compares.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import astuple

from vending.meters.meter import MeterState
from vending.postgres.columns import number_array, numbers, side_by_side, text_array, texts

STATE_PARAMETERS = 10
"""How many parameters `update_states` takes."""

REPAY_PARAMETERS = 3
"""How many parameters `repay_debts` takes."""


def state_columns(states: Mapping[str, MeterState]) -> tuple[object, ...]:
    """Return the new states, one a meter, as the parameters of `update_states`."""
    # All fields at once, in their order: several times faster than one after the other.
    fields = list(zip(*map(astuple, states.values()), strict=True)) or [()] * 8
    meters, bases, last_tids, months, sold_wh, histories, fees, debts = fields
    return (
        texts(meters),
        numbers(bases),
        numbers(last_tids),
        numbers(months),
        numbers(sold_wh),
        numbers([one for one, _, _ in histories]),
        numbers([two for _, two, _ in histories]),
        numbers([three for _, _, three in histories]),
        numbers(fees),
        numbers(debts),
    )


def update_states(first: int) -> str:
    """Return the update of a batch of meters, its parameters numbered from `first`."""
    kinds = {
        "tid_base": "smallint", "last_tid": "integer", "month": "integer",
        "month_energy_wh": "bigint", "one_month_ago_wh": "bigint", "two_months_ago_wh": "bigint",
        "three_months_ago_wh": "bigint", "fees_paid_through": "integer", "open_debts": "smallint",
    }  # fmt: skip
    numbered = enumerate(kinds.items(), start=first + 1)
    new = side_by_side(
        {"meter_number": text_array(first)}
        | {name: number_array(number, kind) for number, (name, kind) in numbered}
    )
    # The second condition bounds the read of the table whatever way the planner joins.
    return f"""
update meter_state as state
   set tid_base = new.tid_base, last_tid = new.last_tid, month = new.month,
       month_energy_wh = new.month_energy_wh, one_month_ago_wh = new.one_month_ago_wh,
       two_months_ago_wh = new.two_months_ago_wh, three_months_ago_wh = new.three_months_ago_wh,
       fees_paid_through = new.fees_paid_through, open_debts = new.open_debts
  from {new} as new
 where state.meter_number = new.meter_number and state.meter_number = any({text_array(first)})
"""  # noqa: S608 -- only parameter numbers and type names are put into the text


def repay_columns(repaid: Sequence[tuple[str, int, int]]) -> tuple[list[object], ...]:
    """Return (meter number, debt, cents) as the parameters of `repay_debts`."""
    summed: dict[tuple[str, int], int] = {}
    for meter_number, debt_id, minor in repaid:
        summed[meter_number, debt_id] = summed.get((meter_number, debt_id), 0) + minor
    return (
        [meter_number for meter_number, _ in summed],
        [debt_id for _, debt_id in summed],
        list(summed.values()),
    )


def repay_debts(first: int) -> str:
    """Return the update that takes paid sums off debts, its parameters numbered from `first`.

    The balance's own CHECK stops one from being paid beyond what is owed.
    """
    return f"""
update debt
   set balance_minor = debt.balance_minor - paid.minor
  from unnest(${first}::text[], ${first + 1}::bigint[], ${first + 2}::bigint[])
       as paid (meter_number, debt_id, minor)
 where debt.meter_number = paid.meter_number and debt.debt_id = paid.debt_id
"""  # noqa: S608 -- only parameter numbers are put into the text
