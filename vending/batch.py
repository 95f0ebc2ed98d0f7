"""One batch's changes, and the one statement that writes them all or none.

Every step is the insert or update of the noun that owns the table; this module only lines up their
parameters behind the fence. One statement is one transaction and one round trip, which is where
both the throughput and the low latency of the vend come from. Lining up is apart from writing,
because the next batch is lined up while this one is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from vending.lease import Fence, Fenced
from vending.ledger import journal
from vending.ledger.accounts import Chart
from vending.ledger.entry import Entry
from vending.meters import state
from vending.meters.meter import MeterState
from vending.outbox import message
from vending.outbox.message import Message
from vending.payments import outcomes, rows
from vending.payments.outcomes import Outcome
from vending.payments.payment import Payment
from vending.postgres.pool import Session
from vending.postgres.writer import Writer
from vending.vendors import floats

_FENCE_PARAMETERS = 4
_PAYMENTS_AT = _FENCE_PARAMETERS + 1
_OUTCOMES_AT = _PAYMENTS_AT + rows.PARAMETERS
_ENTRIES_AT = _OUTCOMES_AT + outcomes.PARAMETERS
_MESSAGES_AT = _ENTRIES_AT + journal.PARAMETERS
_STATES_AT = _MESSAGES_AT + message.INSERT_COLUMNS
_REPAID_AT = _STATES_AT + state.STATE_PARAMETERS
_DRAWN_AT = _REPAID_AT + state.REPAY_PARAMETERS
_REASSIGNED_AT = _DRAWN_AT + floats.PARAMETERS

# The division is the fence: an owner whose epoch has passed updates no lease row, divides by zero,
# and the whole statement is as if it had never been.
WRITE = f"""
with fence as (
    update sequencer_lease
       set batches = batches + 1, expires_at = clock_timestamp() + make_interval(secs => $4)
     where shard = $1 and owner = $2 and epoch = $3
    returning shard
), paid as ({rows.insert_payments(_PAYMENTS_AT)}
), decided as ({outcomes.insert_outcomes(_OUTCOMES_AT)}
), booked as ({journal.insert_entries(_ENTRIES_AT)}
), told as ({message.insert_messages(_MESSAGES_AT)}
), moved as ({state.update_states(_STATES_AT)}
), repaid as ({state.repay_debts(_REPAID_AT)}
), drawn as ({floats.draw(_DRAWN_AT)}
), reassigned as (
    update reassignment
       set settled_at = ${_REASSIGNED_AT + 2}::timestamptz, result = done.result
      from unnest(${_REASSIGNED_AT}::bigint[], ${_REASSIGNED_AT + 1}::text[])
           as done (reassignment_id, result)
     where reassignment.reassignment_id = done.reassignment_id
)
select 1 / count(*) as owned from fence
"""  # noqa: S608 -- composed of our own constants


@dataclass(slots=True, kw_only=True)
class Changes:
    """Everything a batch changes.

    `payments` are those that are stored with their outcome, not before it. `states` holds the last
    state of each meter it touched, `repaid` (meter number, debt, cents), `drawn` what vendors sold
    for, and `reassigned` the requests it settles with what came of them. `number` is the batch's.
    """

    payments: list[Payment] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    states: dict[str, MeterState] = field(default_factory=dict)
    repaid: list[tuple[str, int, int]] = field(default_factory=list)
    drawn: dict[str, int] = field(default_factory=dict)
    reassigned: list[tuple[int, str]] = field(default_factory=list)
    number: int
    decided_at: datetime


async def parameters(db: Session, changes: Changes, *, chart: Chart) -> tuple[object, ...]:
    """Return a batch as the parameters of its statement, those of the fence left out.

    Accounts that do not exist yet are opened at once: an account without entries is no harm.
    """
    await chart.open(db, {account for one in changes.entries for account, _ in one.postings})
    return (
        *rows.columns(changes.payments),
        *outcomes.columns(changes.outcomes, decided_at=changes.decided_at),
        *journal.columns(changes.entries, chart, booked_at=changes.decided_at),
        *message.columns(changes.messages, due_at=changes.decided_at),
        *state.state_columns(changes.states),
        *state.repay_columns(changes.repaid),
        *floats.draw_columns(changes.drawn, batch=changes.number),
        [number for number, _ in changes.reassigned],
        [result for _, result in changes.reassigned],
        changes.decided_at,
    )


async def write(db: Writer, lined_up: Sequence[object], *, fence: Fence) -> None:
    """Write a batch, given its parameters, in one transaction; return when it is committed.

    Raises Fenced when the fence no longer stands, FloatMoved when a vendor's money has gone,
    DatabaseAway when the outcome is unknown, and asyncpg's errors when the data itself is refused;
    nothing is written then, except perhaps when the database is away.
    """
    try:
        await db.fetch(WRITE, fence.shard, fence.owner, fence.epoch, fence.lease_seconds, *lined_up)
    except asyncpg.DivisionByZeroError:
        raise Fenced(owner=fence.owner, epoch=fence.epoch) from None
    except asyncpg.CheckViolationError as fault:
        floats.require_covered(fault)
        raise
