"""The log of acts: each chained to the one before, and every way to tamper with it found."""

import asyncio
from datetime import UTC, datetime

import pytest

from tests.conftest import SettableClock
from tests.database import Database
from vending import audit_log
from vending.audit_log import ChainBroken, PersonUnnamed
from vending.postgres import pool
from vending.postgres.pool import Connection


async def _acts(db: Connection, clock: SettableClock, count: int) -> None:
    for place in range(count):
        async with pool.transaction(db):
            await audit_log.append(
                db, who="Jane", what="limit set", subject="vendor:a", facts={"minor": place},
                now=clock.advance(microseconds=1_000_001),
            )  # fmt: skip


async def test_acts_are_numbered_from_one_and_the_chain_holds(
    db: Connection, clock: SettableClock
) -> None:
    assert (await audit_log.verify(db)).count == 0
    await _acts(db, clock, 3)
    verified = await audit_log.verify(db)
    assert verified.count == 3
    newest, *_, oldest = await audit_log.of_subject(db, "vendor:a")
    assert (newest.number, newest.digest, oldest.number) == (3, verified.digest, 1)
    assert oldest.previous == audit_log.FIRST_PREVIOUS
    assert newest.facts == '{"minor":2}'


def test_the_digest_is_the_one_that_is_laid_down() -> None:
    told = audit_log.digest_of(
        bytes(32), number=1, at=datetime(2026, 11, 22, 8, tzinfo=UTC), who="Jané", what="a",
        subject="", facts="{}",
    )  # fmt: skip
    assert told.hex() == "bad23a67bda6891c83bcdc552a571647c194cced9886c74f93af142cfa71f870"


async def test_an_act_leaves_no_trace_when_what_it_tells_did_not_happen(
    db: Connection, clock: SettableClock
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with pool.transaction(db):
            await audit_log.append(db, who="Jane", what="a", subject="b", now=clock())
            _ = 1 / 0
    assert (await audit_log.verify(db)).count == 0


async def test_acts_of_many_at_once_make_one_chain(
    database: Database, db: Connection, clock: SettableClock
) -> None:
    async def act() -> None:
        connection = await pool.connect(database.dsn)
        for _ in range(5):
            async with pool.transaction(connection):
                await audit_log.append(connection, who="x", what="a", subject="b", now=clock())
        await connection.close()

    await asyncio.gather(*(act() for _ in range(8)))
    assert (await audit_log.verify(db)).count == 40


@pytest.mark.parametrize(
    ("damage", "number", "fault"),
    [
        ("update act set facts = '{}' where number = 2", 2, "it was altered"),
        ("update act set at = at + interval '1 second' where number = 3", 3, "it was altered"),
        ("delete from act where number = 2", 2, "an act is missing"),
        ("delete from act where number = 4", 4, "acts at the end are missing"),
        ("update act_head set number = 5", 5, "acts at the end are missing"),
        ("update act set digest = sha256('x') where number = 2", 2, "it was altered"),
        ("update act set previous = '\\x" + "00" * 32 + "' where number = 2", 2,
         "the act before it is another"),
        (("insert into act select 5, at, who, what, subject, facts, previous, digest from act"
          " where number = 4"), 5, "the act before it is another"),
    ],
)  # fmt: skip
async def test_the_first_broken_link_is_named(
    db: Connection, clock: SettableClock, damage: str, number: int, fault: str
) -> None:
    await _acts(db, clock, 4)
    await db.execute(damage)
    with pytest.raises(ChainBroken) as broken:
        await audit_log.verify(db)
    assert broken.value.facts == {"number": number, "fault": fault}


async def test_a_chain_rewritten_as_a_whole_differs_from_a_digest_noted_elsewhere(
    db: Connection, clock: SettableClock
) -> None:
    await _acts(db, clock, 3)
    noted = {2: (await audit_log.of_subject(db, "vendor:a"))[1].digest[:8]}
    assert (await audit_log.verify(db, noted=noted)).count == 3
    await db.execute("delete from act")
    await db.execute("update act_head set number = 0, digest = $1", audit_log.FIRST_PREVIOUS)
    with pytest.raises(ChainBroken, match="noted is missing"):
        await audit_log.verify(db, noted=noted)
    await _acts(db, clock, 3)
    with pytest.raises(ChainBroken, match="number=2, fault=its digest is not the one"):
        await audit_log.verify(db, noted=noted)


@pytest.mark.parametrize("who", ["", "  ", "x" * 101, "Jane\x00"])
async def test_an_act_names_who_did_it(db: Connection, clock: SettableClock, who: str) -> None:
    with pytest.raises(PersonUnnamed):
        async with pool.transaction(db):
            await audit_log.append(db, who=who, what="a", subject="b", now=clock())


async def test_a_long_chain_is_walked_in_pages(
    db: Connection, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _acts(db, clock, 7)
    monkeypatch.setattr(audit_log, "PAGE", 3)
    assert (await audit_log.verify(db)).count == 7
