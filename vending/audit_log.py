"""The log of acts: what people and vendors did that is not a sale, each chained to the one before.

An act is written in the transaction of what it tells, and holds the digest of the act before it. So
an act that is altered, removed or slipped in breaks the chain at that place, and one cut off at the
end differs from the head. Whoever rewrites the whole chain and its head is found out by a digest
that was noted elsewhere: `verify` takes one.

The digest is SHA-256 over the digest of the act before (32 bytes) and then number, instant, who,
what, subject and facts, each as its length in bytes in decimal, a colon, and its UTF-8 text. The
instant is UTC to the microsecond, 2026-11-22T08:00:00.000000Z; facts are JSON with sorted names.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from vending.errors import Inconsistent, Rejected
from vending.postgres.pool import Connection, Session
from vending.values import Value

FIRST_PREVIOUS = bytes(32)
"""What the first act holds in place of a digest before it."""

PAGE = 1_000
"""Acts in one read of a walk."""

WHO_LENGTH_MAX = 100

Fact = str | int | bool | None | list[str]
"""What a fact may be: never a secret, a token or a phone."""

# The row lock lets one act at a time be added, so the chain has no branches.
LAST = "select number, digest from act_head where shard = 0 for update"

ADD = """
with added as (
    insert into act (number, at, who, what, subject, facts, previous, digest)
    values ($1, $2, $3, $4, $5, $6, $7, $8)
    returning number, digest
)
update act_head
   set number = added.number, digest = added.digest
  from added
 where act_head.shard = 0
"""

WALK = """
select number, at, who, what, subject, facts, previous, digest
  from act
 where number > $1
 order by number
 limit $2
"""

HEAD = "select number, digest from act_head where shard = 0"

OF_SUBJECT = """
select number, at, who, what, subject, facts, previous, digest
  from act
 where subject = $1
 order by number desc
 limit $2
"""


class ChainBroken(Inconsistent):
    """The log of acts is not as it was written.

    `number` is the first act that does not fit and `fault` how. Keep a copy of the database, and
    find out who can write to it besides the server.
    """

    code = "chain_broken"


class PersonUnnamed(Rejected):
    """An act names who did it, in 1 to 100 printable characters.

    Give a name with --by.
    """

    code = "person_unnamed"


class Act(Value, frozen=True, kw_only=True):
    """One thing that was done: when, by whom, what, to which subject, with which facts (JSON)."""

    number: int
    at: datetime
    who: str
    what: str
    subject: str
    facts: str
    previous: bytes
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A chain that holds: how many acts, and the digest of the last one, to be noted elsewhere."""

    count: int
    digest: bytes


async def append(
    db: Connection,
    *,
    who: str,
    what: str,
    subject: str,
    facts: Mapping[str, Fact] | None = None,
    now: datetime,
) -> int:
    """Add an act to the chain and return its number.

    Call it last in the transaction of what it tells: until that ends, nobody else can add one.
    `who` is a person's name or a credential's; raises PersonUnnamed when it is neither.
    """
    who = person(who)
    text = msgspec.json.encode(dict(facts or {}), order="deterministic").decode()
    (last,) = await db.fetch(LAST)
    number: int = last["number"] + 1
    told = digest_of(
        last["digest"], number=number, at=now, who=who, what=what, subject=subject, facts=text
    )
    await db.fetch(ADD, number, now, who, what, subject, text, last["digest"], told)
    return number


def person(who: str) -> str:
    """Return a name as it is written into the log. Raises PersonUnnamed."""
    who = " ".join(who.split())
    if not 1 <= len(who) <= WHO_LENGTH_MAX or not who.isprintable():
        raise PersonUnnamed
    return who


def digest_of(
    previous: bytes, *, number: int, at: datetime, who: str, what: str, subject: str, facts: str
) -> bytes:
    """Return the digest of an act, as the head of this module lays it down."""
    instant = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    digest = hashlib.sha256(previous)
    for text in (str(number), instant, who, what, subject, facts):
        written = text.encode()
        digest.update(b"%d:%s" % (len(written), written))
    return digest.digest()


async def verify(db: Connection, *, noted: Mapping[int, bytes] | None = None) -> Verified:
    """Walk the whole chain; raise ChainBroken at the first act that does not fit.

    `noted` are digests of acts, or their beginnings, by number, that were written down elsewhere.
    All reads are of one snapshot, so acts may be added meanwhile.
    """
    noted = noted or {}
    previous, count = FIRST_PREVIOUS, 0
    async with db.transaction(isolation="repeatable_read", readonly=True):
        async for act in _each(db):
            count += 1
            fault = _fault(act, expected=count, previous=previous, noted=noted)
            if fault:
                raise ChainBroken(number=count, fault=fault)
            previous = act.digest
        (head,) = await db.fetch(HEAD)
    if (head["number"], head["digest"]) != (count, previous):
        raise ChainBroken(number=count + 1, fault="acts at the end are missing")
    if any(number > count for number in noted):
        raise ChainBroken(number=count + 1, fault="an act that was noted is missing")
    return Verified(count=count, digest=previous)


async def of_subject(db: Session, subject: str, *, most: int = 50) -> list[Act]:
    """Return the latest acts about a subject, newest first."""
    return [Act(**dict(row)) for row in await db.fetch(OF_SUBJECT, subject, most)]


async def _each(db: Session) -> AsyncIterator[Act]:
    after = 0
    while rows := await db.fetch(WALK, after, PAGE):
        for row in rows:
            yield Act(**dict(row))
        after = rows[-1]["number"]


def _fault(act: Act, *, expected: int, previous: bytes, noted: Mapping[int, bytes]) -> str | None:
    """Say how an act does not fit into the chain; None when it does."""
    if act.number != expected:
        return "an act is missing"
    if act.previous != previous:
        return "the act before it is another"
    told = digest_of(
        act.previous, number=act.number, at=act.at, who=act.who, what=act.what,
        subject=act.subject, facts=act.facts,
    )  # fmt: skip
    if told != act.digest:
        return "it was altered"
    if not told.startswith(noted.get(act.number, b"")):
        return "its digest is not the one that was noted"
    return None
