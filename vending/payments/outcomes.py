"""What became of payments: one row each, written by the vend's statement and read by everyone."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache

import asyncpg
from msgspec.structs import astuple

from vending.key_data import KeyChange, change_of
from vending.payments.payment import OutcomeKind
from vending.postgres.columns import number_array, numbers, side_by_side, text_array, texts
from vending.postgres.pool import Session
from vending.values import Value

PARAMETERS = 14
"""How many parameters `insert_outcomes` takes."""

READ = """
select outcome.payment_id, kind, reason, outcome.meter_number, tid_base, tid, token, energy_wh,
       tariff, tariff_version, tariff_category, line_codes, line_amounts, decided_at,
       key_change.order_id
  from outcome
  left join key_change on key_change.payment_id = outcome.payment_id
 where outcome.payment_id = any($1::bigint[])
"""

# Asked only where a payment that is read had codes, which is nearly never.
KEY_CHANGES = """
select payment_id, order_id, codes, from_sgc, from_krn, from_ti, from_base, from_ken,
       to_sgc, to_krn, to_ti, to_base, to_ken
  from key_change
  join key_change_order using (order_id)
 where payment_id = any($1::bigint[])
"""


class Outcome(Value, frozen=True, kw_only=True):
    """What became of one payment: a token with the receipt behind it, or a refund with its reason.

    `lines` are the receipt's (code, cents) and sum to the tender; `reason` is a refusal's code.
    `key_change` has the codes to key in before the token, where the meter's key changed with it.
    """

    hidden = frozenset({"token"})

    payment_id: int
    kind: OutcomeKind
    decided_at: datetime
    reason: str | None = None
    meter_number: str | None = None
    tid_base: int | None = None
    tid: int | None = None
    token: str | None = None
    energy_wh: int | None = None
    tariff: str | None = None
    tariff_version: str | None = None
    tariff_category: str | None = None
    lines: tuple[tuple[str, int], ...] = ()
    key_change: KeyChange | None = None


def columns(outcomes: Sequence[Outcome], *, decided_at: datetime) -> tuple[object, ...]:
    """Return outcomes decided at one instant as the parameters of `insert_outcomes`."""
    # All fields at once, in their order: several times faster than one after the other.
    fields = list(zip(*map(astuple, outcomes), strict=True)) or [()] * 14
    (payments, kinds, _, reasons, meters, bases, tids, tokens, sold_wh, tariffs, versions,
     categories, lines, _) = fields  # fmt: skip
    literals = [_literals(one) for one in lines]
    return (
        numbers(payments),
        texts(kinds),
        texts(reasons),
        texts(meters),
        numbers(bases),
        numbers(tids),
        texts(tokens),
        numbers(sold_wh),
        texts(tariffs),
        texts(versions),
        texts(categories),
        texts([codes for codes, _ in literals]),
        texts([amounts for _, amounts in literals]),
        decided_at,
    )


@lru_cache(maxsize=4096)  # most people pay the same few sums; 4 MB at most
def _literals(lines: tuple[tuple[str, int], ...]) -> tuple[str | None, str | None]:
    """Return a receipt's codes and cents as array literals, since unnest takes no ragged arrays.

    Codes are plain words. A refund has neither.
    """
    if not lines:
        return None, None
    codes, amounts = zip(*lines, strict=True)
    return _codes(codes), _literal(amounts)


@lru_cache(maxsize=1024)  # receipts are of a few kinds, whatever the sum
def _codes(codes: tuple[str, ...]) -> str:
    return _literal(codes)


def _literal(values: Iterable[object]) -> str:
    return "{" + ",".join(map(str, values)) + "}"


def insert_outcomes(first: int) -> str:
    """Return the insert of a batch of outcomes, its parameters numbered from `first`.

    A refund that is due may become a token, and nothing else may change: the condition of the
    conflict says so, and the ledger's own key stops a payment from being decided twice.
    """
    kinds = {
        "payment_id": "bigint", "kind": "text", "reason": "text", "meter_number": "text",
        "tid_base": "smallint", "tid": "integer", "token": "text", "energy_wh": "bigint",
        "tariff": "text", "tariff_version": "text", "tariff_category": "text",
        "line_codes": "text", "line_amounts": "text",
    }  # fmt: skip
    decided = side_by_side(
        {
            name: text_array(number) if kind == "text" else number_array(number, kind)
            for number, (name, kind) in enumerate(kinds.items(), start=first)
        }
    )
    return f"""
insert into outcome
       (payment_id, kind, reason, meter_number, tid_base, tid, token, energy_wh, tariff,
        tariff_version, tariff_category, line_codes, line_amounts, decided_at)
select payment_id, kind, reason, meter_number, tid_base, tid, token, energy_wh, tariff,
       tariff_version, tariff_category, line_codes::text[], line_amounts::bigint[],
       ${first + len(kinds)}::timestamptz
  from {decided} as decided
on conflict (payment_id) do update
   set kind = excluded.kind, reason = excluded.reason, meter_number = excluded.meter_number,
       tid_base = excluded.tid_base, tid = excluded.tid, token = excluded.token,
       energy_wh = excluded.energy_wh, tariff = excluded.tariff,
       tariff_version = excluded.tariff_version, tariff_category = excluded.tariff_category,
       line_codes = excluded.line_codes, line_amounts = excluded.line_amounts,
       decided_at = excluded.decided_at
 where outcome.kind = 'refund_due'
"""  # noqa: S608 -- only parameter numbers and type names are put into the text


async def read(db: Session, payment_ids: Sequence[int]) -> dict[int, Outcome]:
    """Return what became of these payments, by number; the undecided are absent."""
    if not payment_ids:
        return {}
    rows = await db.fetch(READ, payment_ids)
    rekeyed = [row["payment_id"] for row in rows if row["order_id"] is not None]
    changes = await key_changes(db, rekeyed) if rekeyed else {}
    return {row["payment_id"]: _outcome(row, changes) for row in rows}


async def key_changes(db: Session, payment_ids: Sequence[int]) -> dict[int, KeyChange]:
    """Return the key changes that went with these payments, codes and all, by payment number."""
    return {
        row["payment_id"]: change_of(row, codes=tuple(row["codes"]))
        for row in await db.fetch(KEY_CHANGES, payment_ids)
    }


def _outcome(row: asyncpg.Record, changes: Mapping[int, KeyChange]) -> Outcome:
    fields = dict(row)
    del fields["order_id"]
    codes, amounts = fields.pop("line_codes") or (), fields.pop("line_amounts") or ()
    kind = OutcomeKind(fields.pop("kind"))
    lines = tuple(zip(codes, amounts, strict=True))
    return Outcome(kind=kind, lines=lines, key_change=changes.get(row["payment_id"]), **fields)
