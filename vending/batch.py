"""One batch's changes, and the one statement that writes them all or none.

Every step is the insert or update of the noun that owns the table; this module only lines up their
parameters behind the fence. One statement is one transaction and one round trip, which is where
both the throughput and the low latency of the vend come from. Lining up is apart from writing,
because the next batch is lined up while this one is written.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from vending.in_flight import InFlight
from vending.lease import Fence, Fenced
from vending.ledger import journal
from vending.ledger.accounts import Chart
from vending.ledger.entry import Entry
from vending.meters import key_changes, state
from vending.meters.key_changes import Issued
from vending.meters.meter import MeterState
from vending.outbox import message
from vending.outbox.message import Message
from vending.payments import outcomes, rows
from vending.payments.outcomes import Outcome
from vending.payments.payment import Payment
from vending.payments.rows import Key
from vending.postgres.pool import Session
from vending.postgres.writer import Writer
from vending.tariffs.quote import Debt
from vending.tokens import key_requests, special_rows
from vending.tokens.key_requests import KeysMade
from vending.tokens.special import SpecialToken
from vending.vendors import barred, floats
from vending.webhooks import event
from vending.webhooks.event import Event

_FENCE_PARAMETERS = 4
_PAYMENTS_AT = _FENCE_PARAMETERS + 1
_OUTCOMES_AT = _PAYMENTS_AT + rows.PARAMETERS
_ENTRIES_AT = _OUTCOMES_AT + outcomes.PARAMETERS
_MESSAGES_AT = _ENTRIES_AT + journal.PARAMETERS
_STATES_AT = _MESSAGES_AT + message.INSERT_COLUMNS
_REPAID_AT = _STATES_AT + state.STATE_PARAMETERS
_REASSIGNED_AT = _REPAID_AT + state.REPAY_PARAMETERS
_DRAWN_AT = _REASSIGNED_AT + 3
_BARRED_AT = _DRAWN_AT + floats.PARAMETERS
_EVENTS_AT = _BARRED_AT + barred.PARAMETERS
_WARNED_AT = _EVENTS_AT + event.INSERT_COLUMNS
_KEYED_AT = _WARNED_AT + floats.WARNING_PARAMETERS

# The division is the fence: an owner whose epoch has passed updates no lease row, divides by zero,
# and the whole statement is as if it had never been.
_STEPS = f"""
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
), reassigned as (
    update reassignment
       set settled_at = ${_REASSIGNED_AT + 2}::timestamptz, result = done.result
      from unnest(${_REASSIGNED_AT}::bigint[], ${_REASSIGNED_AT + 1}::text[])
           as done (reassignment_id, result)
     where reassignment.reassignment_id = done.reassignment_id
)"""  # noqa: S608 -- composed of our own constants

_VENDORS_STEPS = f"""
, drawn as ({floats.draw(_DRAWN_AT)}
), barred as ({barred.insert_barred(_BARRED_AT)}
), announced as ({event.insert_events(_EVENTS_AT)}
), warned as ({floats.warn(_WARNED_AT)}
)"""

_OWNED = """
select 1 / count(*) as owned from fence
"""

WRITE = _STEPS + _OWNED

WRITE_WITH_VENDORS = _STEPS + _VENDORS_STEPS + _OWNED
"""The same with what only vendors' sales change, so that no other batch pays for it."""

WRITE_WITH_KEYS = (
    _STEPS + _VENDORS_STEPS + ", " + key_changes.insert_issued(_KEYED_AT).lstrip() + _OWNED
)
"""The same again with what only meters change whose key changes: hardly ever, or in a campaign."""


@functools.cache
def _with_specials(statement: str, *, at: int) -> str:
    """Return a statement that writes special tokens too, their parameters numbered from `at`."""
    answered_at = at + special_rows.PARAMETERS
    return f"""
{statement.removesuffix(_OWNED)}
, given as ({special_rows.insert_special(at)}
), answered as ({special_rows.answer_requests(answered_at)}
)
{_OWNED}
"""


@functools.cache
def _with_asked_keys(statement: str, *, at: int) -> str:
    """Return a statement that also writes what vendors asked for, numbered from `at`."""
    asked = key_requests.insert_asked(at)
    return f"{statement.removesuffix(_OWNED)},{asked}{_OWNED}"


@dataclass(slots=True, kw_only=True)
class Changes:
    """Everything a batch changes.

    `payments` are those that are stored with their outcome, not before it. `states` holds the last
    state of each meter it touched, `repaid` (meter number, debt, cents), `reassigned` the requests
    it settles with what came of them. Of vendors, `drawn` is what they sold for, `barred` what they
    may not sell under, `events` what they are told, `warnings` numbers for events that their
    floats are low, one for each that is `drawn`. `specials` are the special tokens it
    makes, `answered` the requests for such and what came of each, `keys` the codes of key changes
    that vendors asked for. `number` is the batch's.
    """

    payments: list[Payment] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    states: dict[str, MeterState] = field(default_factory=dict)
    repaid: list[tuple[str, int, int]] = field(default_factory=list)
    reassigned: list[tuple[int, str]] = field(default_factory=list)
    drawn: dict[str, int] = field(default_factory=dict)
    warnings: list[int] = field(default_factory=list)
    barred: set[Key] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)
    specials: list[SpecialToken] = field(default_factory=list)
    answered: list[tuple[int, str]] = field(default_factory=list)
    keys: list[KeysMade] = field(default_factory=list)
    number: int
    decided_at: datetime

    def rekeyed(self) -> list[Issued]:
        """Return the key changes that sales of the batch are issued with."""
        return [
            Issued(one.meter_number or "", one.key_change, one.payment_id)
            for one in self.outcomes
            if one.key_change is not None
        ]

    def moved(self) -> Iterator[Issued | KeysMade]:
        """Return every key change of the batch that the directory follows."""
        yield from self.rekeyed()
        yield from (one for one in self.keys if one.moves)

    def left(self, *, owed: Mapping[str, tuple[Debt, ...]]) -> InFlight:
        """Return what the batch will leave behind, for the next one to be decided on.

        `owed` are the debts that are left to those of its meters that had any.
        """
        return InFlight(
            sales={rows.key_of(one.notice): (one.payment_id, one.notice) for one in self.payments},
            barred=frozenset(self.barred),
            outcomes={one.payment_id: one for one in self.outcomes},
            states=self.states,
            owed=owed,
            rekeyed={one.meter_number: one.change.new for one in self.moved()},
            keys={one.key: one for one in self.keys},
            drawn=self.drawn,
            specials={one.key: one for one in self.specials},
            batch=self.number,
        )


async def parameters(
    db: Session, changes: Changes, *, chart: Chart
) -> tuple[str, tuple[object, ...]]:
    """Return the statement that writes a batch and its parameters, those of the fence left out.

    Accounts that do not exist yet are opened at once: an account without entries is no harm.
    """
    await chart.open(db, chart.unmet(one.postings for one in changes.entries))
    statement, lined_up = _lined_up(changes, chart)
    if changes.keys:
        statement = _with_asked_keys(statement, at=_FENCE_PARAMETERS + 1 + len(lined_up))
        of_keys = key_requests.columns(changes.keys, issued_at=changes.decided_at)
        lined_up = (*lined_up, *of_keys)
    if not (changes.specials or changes.answered):
        return statement, lined_up
    with_specials = _with_specials(statement, at=_FENCE_PARAMETERS + 1 + len(lined_up))
    return with_specials, (*lined_up, *_special_columns(changes))


def _lined_up(changes: Changes, chart: Chart) -> tuple[str, tuple[object, ...]]:
    """Return the statement and the parameters of all that is no special token."""
    lined_up = (
        *rows.columns(changes.payments),
        *outcomes.columns(changes.outcomes, decided_at=changes.decided_at),
        *journal.columns(changes.entries, chart, booked_at=changes.decided_at),
        *message.columns(changes.messages, due_at=changes.decided_at),
        *state.state_columns(changes.states),
        *state.repay_columns(changes.repaid),
        [number for number, _ in changes.reassigned],
        [result for _, result in changes.reassigned],
        changes.decided_at,
    )
    rekeyed = changes.rekeyed()
    if not (changes.drawn or changes.barred or rekeyed):
        return WRITE, lined_up
    of_vendors = (
        *floats.draw_columns(changes.drawn, warnings=changes.warnings, batch=changes.number),
        *barred.columns(changes.barred, barred_at=changes.decided_at),
        *event.columns(changes.events, at=changes.decided_at),
        *floats.warning_columns(changes.decided_at),
    )
    if not rekeyed:
        return WRITE_WITH_VENDORS, (*lined_up, *of_vendors)
    of_keys = key_changes.columns(rekeyed, issued_at=changes.decided_at)
    return WRITE_WITH_KEYS, (*lined_up, *of_vendors, *of_keys)


def _special_columns(changes: Changes) -> tuple[object, ...]:
    return (
        *special_rows.columns(changes.specials),
        [number for number, _ in changes.answered],
        [result for _, result in changes.answered],
        changes.decided_at,
    )


async def write(db: Writer, statement: str, lined_up: Sequence[object], *, fence: Fence) -> None:
    """Write a batch that is lined up in one transaction; return when it is committed.

    Raises Fenced when the fence no longer stands, FloatMoved when a vendor's money has gone,
    DatabaseAway when the outcome is unknown, and asyncpg's errors when the data itself is refused;
    nothing is written then, except perhaps when the database is away.
    """
    try:
        await db.fetch(
            statement, fence.shard, fence.owner, fence.epoch, fence.lease_seconds, *lined_up
        )
    except asyncpg.DivisionByZeroError:
        raise Fenced(owner=fence.owner, epoch=fence.epoch) from None
    except asyncpg.CheckViolationError as fault:
        floats.require_covered(fault)
        raise
