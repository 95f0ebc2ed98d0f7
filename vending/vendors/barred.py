"""References under which nothing was sold and nothing will be: what makes "sell again" safe (P8).

A vendor that asks for a sale nobody knows of is told so, and may sell again under another
reference. The first request may still be on its way; so the unknown reference is barred by the
writer of sales itself, and whatever comes later under it is refused.
"""

from collections.abc import Collection
from datetime import datetime

from vending.errors import Refused
from vending.postgres.columns import any_text_array, any_texts, text_array, texts
from vending.postgres.pool import Session

PARAMETERS = 3
"""How many parameters `insert_barred` takes."""

Key = tuple[str, str]
"""An operator and its reference."""

READ = f"""
select operator, reference
  from sale_barred
 where (operator, reference) in (select asked.operator, asked.reference
                                   from unnest({any_text_array(1)}, {any_text_array(2)})
                                        as asked (operator, reference))
"""  # noqa: S608 -- only parameter numbers are put into the text


class ReferenceBarred(Refused):
    """Nothing was sold under this reference, and nothing ever will be.

    Somebody asked for it before it was known, or withdrew it. Sell under a new reference.
    """

    code = "reference_barred"


async def read(db: Session, keys: Collection[Key]) -> set[Key]:
    """Return those of these references that are barred."""
    if not keys:
        return set()
    operators, references = zip(*keys, strict=True)
    rows = await db.fetch(READ, any_texts(operators), any_texts(references))
    return {(row["operator"], row["reference"]) for row in rows}


def columns(barred: Collection[Key], *, barred_at: datetime) -> tuple[object, ...]:
    """Return references as the parameters of `insert_barred`."""
    return texts([key[0] for key in barred]), texts([key[1] for key in barred]), barred_at


def insert_barred(first: int) -> str:
    """Return the insert of a batch, its parameters numbered from `first`."""
    return f"""
insert into sale_barred (operator, reference, barred_at)
select operator, reference, ${first + 2}::timestamptz
  from unnest({text_array(first)}, {text_array(first + 1)}) as told (operator, reference)
on conflict (operator, reference) do nothing -- a batch whose commit was in doubt
"""  # noqa: S608 -- only parameter numbers are put into the text
