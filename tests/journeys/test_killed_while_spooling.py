"""A server that is killed while PostgreSQL is frozen: the spool alone knows what was paid."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg

from tests.processes import tell_family
from tests.torture import ground as grounds
from tests.torture.ground import SECRET, Ground
from tests.torture.victim import Victim
from vending.audit import auditor
from vending.audit.rule import Terms
from vending.clock import system_clock
from vending.payments.segment import SUFFIX
from vending.postgres import postmaster
from vending.simulation.history import History, acknowledged
from vending.simulation.operator import Line, Operator
from vending.simulation.pay_bill import CustomerPayment

SECONDS_MAX = 60
BEFORE, WHILE_FROZEN = 5, 40

COUNT_DECIDED = "select count(*) from payment join outcome using (payment_id)"
READ_PAID = "select transaction_id from payment"


@asynccontextmanager
async def a_scene() -> AsyncIterator[tuple[Ground, Victim, Operator]]:
    with grounds.staked() as ground, History(ground.home / "operator.jsonl") as history:
        await grounds.furnish(ground)
        victim = Victim(ground)
        line = Line(
            base_url=ground.url, secret=SECRET, validates=False,
            resends=600, resend_after_seconds=0.1,
        )  # fmt: skip
        operator = Operator(
            line, history=history, clock=system_clock, randomness=random.Random(2026)
        )
        async with operator:
            try:
                yield ground, victim, operator
            finally:
                _tell_postgres(ground, signal.SIGCONT)
                await victim.clear()


async def test_what_a_killed_server_had_spooled_is_vended_at_its_next_start() -> None:
    async with a_scene() as (ground, victim, operator), asyncio.timeout(3 * SECONDS_MAX):
        await victim.start()
        for payment in _taken(operator, ground, BEFORE):
            assert (await operator.confirm(payment)).ok
        _tell_postgres(ground, signal.SIGSTOP)
        frozen = _taken(operator, ground, WHILE_FROZEN)
        answers = await asyncio.gather(*map(operator.confirm, frozen))
        assert all(answer.ok for answer in answers)
        assert _spooled(ground) > 0
        await victim.kill()
        _tell_postgres(ground, signal.SIGCONT)
        await victim.start()
        (late,) = _taken(operator, ground, 1)
        assert (await operator.confirm(late)).ok
        await _judged(ground, operator)


async def _judged(ground: Ground, operator: Operator) -> None:
    """Wait until everything is decided, and hold it against the operator's history."""
    sure = set(acknowledged(operator.history.events()))
    assert len(sure) == BEFORE + WHILE_FROZEN + 1
    db = await asyncpg.connect(ground.dsn)
    try:
        async with asyncio.timeout(SECONDS_MAX):
            while _spooled(ground) or await db.fetchval(COUNT_DECIDED) < len(sure):
                await asyncio.sleep(0.05)
        paid = [row["transaction_id"] for row in await db.fetch(READ_PAID)]
        assert sorted(paid) == sorted(sure)
        terms = Terms(
            decided_before=system_clock(),
            paid_at_future=timedelta(seconds=300),
            paid_at_past=timedelta(days=30),
        )
        broken = [one async for one in auditor.examine(db, terms) if not one.holds]
        assert broken == []
    finally:
        await db.close()


def _taken(operator: Operator, ground: Ground, count: int) -> list[CustomerPayment]:
    return [operator.take(home.meter_number, 500_00) for home in ground.homes[:count]]


def _spooled(ground: Ground) -> int:
    return sum(path.stat().st_size for path in (ground.home / "spool").glob(f"*{SUFFIX}"))


def _tell_postgres(ground: Ground, what: signal.Signals) -> None:
    found = postmaster.running(ground.data_dir)
    if found is not None:
        tell_family(found.pid, what)
