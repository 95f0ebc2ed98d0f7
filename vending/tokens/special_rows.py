"""Special tokens as rows: what was made, what a caller had made that day, what a meter has had."""

from collections.abc import Collection, Sequence
from datetime import date
from typing import Final

import asyncpg

from vending.postgres.pool import Session
from vending.tokens.special import Reason, SpecialKind, SpecialToken

Key = tuple[str, str]
"""A caller and its reference."""

Entitlement = tuple[str, str, str]
"""A meter, a kind, and what of it was used up."""

KINDS: Final = (
    "bigint", "text", "text", "text", "text", "smallint", "integer", "text", "bigint", "text",
    "text", "text", "text", "bytea", "date", "integer", "bigint", "integer", "bigint",
    "timestamptz",
)  # fmt: skip
COLUMNS: Final = """
       special_id, operator, reference, kind, meter_number, tid_base, tid, token, value,
       entitlement, reason, asked_by, approved_by, facts, day, nth, day_energy_wh,
       day_tokens_max, day_energy_max_wh, decided_at
"""

PARAMETERS = len(KINDS)
"""How many parameters `insert_special` takes."""

READ = f"""
select {COLUMNS}
  from special_token
 where (operator, reference) in (select asked.operator, asked.reference
                                   from unnest($1::text[], $2::text[])
                                        as asked (operator, reference))
"""  # noqa: S608 -- our own columns

# The last row of a caller's day holds the day's sums.
READ_DAYS = f"""
select {COLUMNS}
  from unnest($1::text[], $2::date[]) as asked (caller, on_day)
 cross join lateral (
        select * from special_token
         where operator = caller and day = on_day order by nth desc limit 1
       ) as newest
"""  # noqa: S608 -- our own columns

READ_ENTITLED = """
select meter_number, kind, entitlement
  from special_token
 where (meter_number, kind, entitlement) in
       (select asked.meter_number, asked.kind, asked.entitlement
          from unnest($1::text[], $2::text[], $3::text[])
               as asked (meter_number, kind, entitlement))
"""


def columns(made: Sequence[SpecialToken]) -> tuple[list[object], ...]:
    """Return tokens as the parameters of `insert_special`, one list a column."""
    rows = [
        (
            one.special_id, one.operator, one.reference, one.kind.value, one.meter_number,
            one.tid_base, one.tid, one.token, one.value, one.entitlement, one.reason.value,
            one.asked_by, one.approved_by, one.facts, one.day, one.nth, one.day_energy_wh,
            one.day_tokens_max, one.day_energy_max_wh, one.decided_at,
        )
        for one in made
    ]  # fmt: skip
    if not rows:
        return tuple([] for _ in KINDS)
    return tuple(list(column) for column in zip(*rows, strict=True))


def insert_special(first: int) -> str:
    """Return the insert of a batch of tokens, its parameters numbered from `first`."""
    arrays = ", ".join(f"${first + step}::{kind}[]" for step, kind in enumerate(KINDS))
    return f"""
insert into special_token ({COLUMNS})
select * from unnest({arrays})
"""  # noqa: S608 -- only our own columns and parameter numbers are put into the text


def answer_requests(first: int) -> str:
    """Return the update that settles requests, its parameters numbered from `first`.

    They are: the requests' numbers, what came of each, and when. What came first stays, but a token
    that was made is always told: a refused request may have been offered once more meanwhile.
    """
    return f"""
update special_request as request
   set settled_at = ${first + 2}::timestamptz, result = done.result
  from unnest(${first}::bigint[], ${first + 1}::text[]) as done (request_id, result)
 where request.request_id = done.request_id
   and (request.settled_at is null
        or done.result = 'token_issued' and request.result <> 'token_issued')
"""  # noqa: S608 -- only parameter numbers are put into the text


async def read(db: Session, keys: Collection[Key]) -> dict[Key, SpecialToken]:
    """Return those of these tokens that were made."""
    if not keys:
        return {}
    operators, references = zip(*keys, strict=True)
    found = map(_token, await db.fetch(READ, operators, references))
    return {one.key: one for one in found}


async def find(db: Session, key: Key) -> SpecialToken | None:
    """Return the token under a caller's reference; None when none was made."""
    return (await read(db, [key])).get(key)


async def days(
    db: Session, asked: Collection[tuple[str, date]]
) -> dict[tuple[str, date], SpecialToken]:
    """Return the last token of each of these callers' days, for the sums that it holds."""
    callers, on = zip(*asked, strict=True)
    found = map(_token, await db.fetch(READ_DAYS, callers, on))
    return {(one.operator, one.day): one for one in found}


async def used(db: Session, asked: Collection[Entitlement]) -> set[Entitlement]:
    """Return those of these entitlements that are used up."""
    if not asked:
        return set()
    meters, kinds, entitlements = zip(*asked, strict=True)
    rows = await db.fetch(READ_ENTITLED, meters, kinds, entitlements)
    return {(row["meter_number"], row["kind"], row["entitlement"]) for row in rows}


def _token(row: asyncpg.Record) -> SpecialToken:
    fields = dict(row)
    kind, reason = SpecialKind(fields.pop("kind")), Reason(fields.pop("reason"))
    return SpecialToken(kind=kind, reason=reason, **fields)
