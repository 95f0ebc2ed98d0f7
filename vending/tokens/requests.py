"""Requests for special tokens: one of the utility's people asks, another approves or rejects.

Each step is an act in the log of acts, written with what it tells. An approved request is only a
row: the sweep of a running server hands it to the sequencer, which makes the token and settles the
request in one statement. So a request is carried out once, whatever stops in between.
"""

from collections.abc import Mapping
from datetime import datetime

import asyncpg

from vending import audit_log
from vending.audit_log import Fact
from vending.config import Tokens
from vending.errors import Rejected
from vending.meters import directory
from vending.meters.meter import MeterUnknown
from vending.postgres import pool
from vending.postgres.pool import Connection, Session
from vending.tokens.special import (
    Caps,
    DailyCapReached,
    Reason,
    SpecialKind,
    require_possible,
)
from vending.values import Value

REJECTED = "rejected"
"""What came of a request that another person did not approve."""

NOTE_LENGTH_MAX = 500

ADD = """
insert into special_request
       (request_id, kind, meter_number, value, reason, note, asked_by, asked_at)
values ($1, $2, $3, $4, $5, $6, $7, $8)
"""

COLUMNS = """
select request_id, kind, meter_number, value, reason, note, asked_by, asked_at, approved, judged_by,
       judged_at, settled_at, result
  from special_request
"""

FIND = f"{COLUMNS} where request_id = $1"
FIND_TO_JUDGE = f"{FIND} for update"

APPROVE = """
update special_request set approved = true, judged_by = $2, judged_at = $3 where request_id = $1
"""

REJECT = f"""
update special_request
   set approved = false, judged_by = $2, judged_at = $3, settled_at = $3, result = '{REJECTED}'
 where request_id = $1
"""  # noqa: S608 -- our own word

OPEN = f"""{COLUMNS}
 where settled_at is null
 order by asked_at, request_id
 limit $1
"""

APPROVED = f"""{COLUMNS}
 where settled_at is null and approved
 order by judged_at, request_id
 limit $1
"""


class TokenNoteMalformed(Rejected):
    """A request, and whoever rejects one, says why, in 1 to 500 printable characters.

    Give it with --note.
    """

    code = "token_note_malformed"


class TokenRequestUnknown(Rejected):
    """There is no request of this number.

    `vending tokens pending` shows those that wait.
    """

    code = "token_request_unknown"


class TokenRequestJudged(Rejected):
    """This request has been approved or rejected already.

    `vending tokens show` says what came of it. A token that is wanted once more is another request.
    """

    code = "token_request_judged"


class ApproverIsRequester(Rejected):
    """Whoever asks for a token without money does not approve it.

    Ask another person, who looks at what it is for.
    """

    code = "approver_is_requester"


class Wanted(Value, frozen=True, kw_only=True):
    """What is asked for, and why; `value` as its kind counts, see SpecialKind."""

    kind: SpecialKind
    meter_number: str | None
    value: int
    reason: Reason
    note: str


class Request(Value, frozen=True, kw_only=True):
    """A request as it is stored; `approved` is None until another person has judged it."""

    request_id: int
    kind: SpecialKind
    meter_number: str | None
    value: int
    reason: Reason
    note: str
    asked_by: str
    asked_at: datetime
    approved: bool | None
    judged_by: str | None
    judged_at: datetime | None
    settled_at: datetime | None
    result: str | None


def caps_of(settings: Tokens) -> Caps:
    """Return what one person's requests may give in a day."""
    return Caps(tokens=settings.day_tokens, energy_wh=settings.day_free_kwh * 1_000)


def subject(request_id: int) -> str:
    """Return what the log of acts calls a request."""
    return f"token:{request_id}"


async def ask(
    db: Connection, wanted: Wanted, *, request_id: int, caps: Caps, who: str, now: datetime
) -> None:
    """Store a request; it waits for another person.

    Raises SpecialMalformed, MeterUnknown, PersonUnnamed, TokenNoteMalformed, and DailyCapReached
    for what no day's cap could ever give.
    """
    who, note = audit_log.person(who), _note(wanted.note)
    require_possible(wanted.kind, wanted.value, meter=wanted.meter_number)
    if caps.tokens < 1:
        raise DailyCapReached(cap="tokens", of_a_day=caps.tokens)
    if wanted.kind.free and wanted.value > caps.energy_wh:
        raise DailyCapReached(cap="energy_wh", of_a_day=caps.energy_wh)
    number = wanted.meter_number
    if number is not None and not await directory.find(db, [number]):
        raise MeterUnknown(meter_number=number)
    async with pool.transaction(db):
        await db.execute(
            ADD, request_id, wanted.kind.value, number, wanted.value, wanted.reason.value, note,
            who, now,
        )  # fmt: skip
        await audit_log.append(
            db, who=who, what="token requested", subject=subject(request_id),
            facts=_facts(wanted, note), now=now,
        )  # fmt: skip


async def approve(db: Connection, request_id: int, *, who: str, now: datetime) -> Request:
    """Let a request be carried out; return it as it was asked for.

    Raises TokenRequestUnknown, TokenRequestJudged, ApproverIsRequester, PersonUnnamed.
    """
    who = audit_log.person(who)
    async with pool.transaction(db):
        asked = await _to_judge(db, request_id)
        if who.casefold() == asked.asked_by.casefold():
            raise ApproverIsRequester(request_id=request_id)
        await db.execute(APPROVE, request_id, who, now)
        await _log(db, asked, "token approved", note=asked.note, who=who, now=now)
    return asked


async def reject(db: Connection, request_id: int, *, note: str, who: str, now: datetime) -> None:
    """Let a request come to nothing. Raises as `approve`, and TokenNoteMalformed."""
    who, note = audit_log.person(who), _note(note)
    async with pool.transaction(db):
        asked = await _to_judge(db, request_id)
        if who.casefold() == asked.asked_by.casefold():
            raise ApproverIsRequester(request_id=request_id)
        await db.execute(REJECT, request_id, who, now)
        await _log(db, asked, "token rejected", note=note, who=who, now=now)


async def find(db: Session, request_id: int) -> Request:
    """Return a request. Raises TokenRequestUnknown."""
    return _only(await db.fetch(FIND, request_id), request_id)


async def pending(db: Session, *, most: int) -> list[Request]:
    """Return the requests that wait for a person or for a server, oldest first."""
    return [_request(row) for row in await db.fetch(OPEN, most)]


async def approved(db: Session, *, most: int) -> list[Request]:
    """Return the requests that two persons stand behind and that are not carried out yet."""
    return [_request(row) for row in await db.fetch(APPROVED, most)]


async def _to_judge(db: Connection, request_id: int) -> Request:
    found = _only(await db.fetch(FIND_TO_JUDGE, request_id), request_id)
    if found.approved is not None:
        raise TokenRequestJudged(request_id=request_id)
    return found


async def _log(
    db: Connection, asked: Request, what: str, *, note: str, who: str, now: datetime
) -> None:
    await audit_log.append(
        db, who=who, what=what, subject=subject(asked.request_id), facts=_facts(asked, note),
        now=now,
    )  # fmt: skip


def _facts(asked: Wanted | Request, note: str) -> Mapping[str, Fact]:
    return {
        "kind": asked.kind.value, "meter": asked.meter_number, "value": asked.value,
        "reason": asked.reason.value, "note": note,
    }  # fmt: skip


def _note(text: str) -> str:
    note = " ".join(text.split())
    if not 1 <= len(note) <= NOTE_LENGTH_MAX or not note.isprintable():
        raise TokenNoteMalformed
    return note


def _only(rows: list[asyncpg.Record], request_id: int) -> Request:
    if not rows:
        raise TokenRequestUnknown(request_id=request_id)
    return _request(rows[0])


def _request(row: asyncpg.Record) -> Request:
    fields = dict(row)
    kind, reason = SpecialKind(fields.pop("kind")), Reason(fields.pop("reason"))
    return Request(kind=kind, reason=reason, **fields)
