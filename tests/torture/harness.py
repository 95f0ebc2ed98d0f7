"""A run: ground, crowd and victim, so many cycles of a kill and a recovery, and the verdict."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field

import asyncpg

from tests.torture import ground as grounds
from tests.torture import verdict
from tests.torture.crowd import Crowd
from tests.torture.ground import SECRET, Ground
from tests.torture.verdict import Memory, Phones
from tests.torture.victim import Victim
from vending.clock import system_clock
from vending.simulation.history import History
from vending.simulation.meter import Street
from vending.simulation.operator import Line, Operator
from vending.simulation.pay_bill import PayerShown

RECOVERY_SECONDS = 60
SETTLE_SECONDS = 90
LOOK_EVERY = 10
"""Cycles between two looks at every outcome and every phone."""


@dataclass(slots=True)
class Scene:
    """Everything a kill may lay hands on."""

    ground: Ground
    victim: Victim
    crowd: Crowd
    history: History
    phones: Phones
    chance: random.Random
    memory: Memory = field(default_factory=Memory)
    faults: list[str] = field(default_factory=list)

    async def moment(self, seconds: float) -> None:
        """Let a random part of so many seconds pass: where in the work the kill falls."""
        await asyncio.sleep(self.chance.random() * seconds)

    async def recovered(self) -> None:
        """Wait until the operator is answered again."""
        try:
            async with asyncio.timeout(RECOVERY_SECONDS):
                await self.crowd.acknowledged(3)
        except TimeoutError:
            words = self.ground.last_words()
            raise AssertionError(f"no answer within {RECOVERY_SECONDS} s; {words}") from None

    async def look(self) -> None:
        """See that what was decided is still what it was, and read the phones."""
        self.phones.read()
        db = await asyncpg.connect(self.ground.dsn)
        try:
            self.faults += await self.memory.compare(db)
        finally:
            await db.close()


async def kill_the_server(scene: Scene) -> None:
    await scene.moment(0.25)
    await scene.victim.kill()
    await scene.victim.start()


async def kill_postgres(scene: Scene) -> None:
    await scene.moment(0.25)
    await scene.victim.kill_postgres()


async def kill_both(scene: Scene) -> None:
    await scene.moment(0.25)
    scene.victim.kill_postgres_now()
    await scene.moment(0.05)
    await scene.victim.kill()
    await scene.victim.start()


async def kill_while_draining(scene: Scene) -> None:
    await scene.moment(0.15)
    scene.victim.ask_to_stop()
    await scene.moment(0.2)
    await scene.victim.kill()
    await scene.victim.start()


async def kill_while_starting(scene: Scene) -> None:
    await scene.victim.kill()
    await scene.victim.start()
    await scene.moment(1.0)
    await scene.victim.kill()
    await scene.victim.start()


async def kill_between_the_commits(scene: Scene) -> None:
    """Everything acknowledged since the start waits undecided when this server dies."""
    await scene.victim.kill()
    await scene.victim.start(fault="never-vend")
    await scene.recovered()
    await scene.moment(0.1)
    await scene.victim.kill()
    await scene.victim.start()


async def die_after_the_second_commit(scene: Scene) -> None:
    await scene.victim.kill()
    await scene.victim.start(fault="die-after-commit")
    await scene.victim.ended()
    await scene.victim.start()


async def leave_commits_in_doubt(scene: Scene) -> None:
    await scene.victim.kill()
    await scene.victim.start(fault="commit-in-doubt")
    await scene.recovered()
    await scene.moment(0.5)
    await scene.victim.kill()
    await scene.victim.start()


Kill = Callable[[Scene], Awaitable[None]]

KILLS: dict[Kill, int] = {
    kill_the_server: 50,
    kill_postgres: 10,
    kill_both: 6,
    kill_while_draining: 12,
    kill_while_starting: 6,
    kill_between_the_commits: 6,
    die_after_the_second_commit: 5,
    leave_commits_in_doubt: 5,
}
"""What may happen in a cycle, and how often in a hundred. The cheap ones are the common ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a run went; `faults` is empty when every promise held."""

    seed: int
    cycles: Counter[str]
    payments: int
    acknowledged: int
    tokens: int
    faults: list[str]


@asynccontextmanager
async def scene(seed: int, *, fault: str | None = None) -> AsyncIterator[Scene]:
    """Set everything up and start the server; nothing is left when this is over."""
    chance = random.Random(seed)
    with grounds.staked() as ground:
        victim = Victim(ground, fault=fault)
        try:
            await grounds.furnish(ground)
            street = Street(
                ground.home / "street.db", ground.homes, ring=ground.ring(), clock=system_clock
            )
            with closing(street), History(ground.home / "operator.jsonl") as history:
                line = Line(
                    base_url=ground.url, secret=SECRET, shown=PayerShown.CLEAR, answer_seconds=10
                )
                async with Operator(
                    line, history=history, clock=system_clock, randomness=chance
                ) as operator:
                    yield Scene(
                        ground=ground,
                        victim=victim,
                        crowd=Crowd(operator, ground.homes, chance=chance),
                        history=history,
                        phones=Phones(ground.home / "sms.jsonl", street),
                        chance=chance,
                    )
        finally:
            await victim.clear()


def plan(cycles: int, chance: random.Random) -> list[Kill]:
    """Return what happens in each cycle: everything once, if there is room, the rest by weight."""
    kills = list(KILLS)
    chance.shuffle(kills)
    kills += chance.choices(list(KILLS), list(KILLS.values()), k=cycles)
    return kills[:cycles]


async def run(
    cycles: int,
    *,
    seed: int,
    kill: Kill | None = None,
    fault: str | None = None,
    say: Callable[[str], None] = lambda _line: None,
) -> Report:
    """Kill and recover so many times under load, then judge. The seed decides what and when.

    `kill` replaces the plan by one kind of kill; `fault` is built into every server that is
    started without one of its own.
    """
    done: Counter[str] = Counter()
    async with scene(seed, fault=fault) as at:
        await at.victim.start()
        paying = asyncio.create_task(at.crowd.run())
        try:
            await at.recovered()
            planned = [kill] * cycles if kill else plan(cycles, random.Random(seed))
            for cycle, one in enumerate(planned, start=1):
                began = time.monotonic()
                await one(at)
                await at.recovered()
                done[one.__name__] += 1
                if cycle % LOOK_EVERY == 0:
                    await at.look()
                say(f"{cycle:>6}  {time.monotonic() - began:5.2f} s  {one.__name__}")
        finally:
            paying.cancel()
            await asyncio.wait({paying})
        return await _judged(at, seed=seed, done=done)


async def _judged(at: Scene, *, seed: int, done: Counter[str]) -> Report:
    await at.crowd.ask_again()
    db = await asyncpg.connect(at.ground.dsn)
    try:
        # A broken server is judged by its money; its messages need not be waited for.
        await settled(db, verdict.UNDECIDED, *([] if at.victim.fault else [verdict.UNSENT]))
        at.phones.read()
        at.faults += await at.memory.compare(db)
        history = verdict.told(at.history.events())
        faults = at.faults + await verdict.judge(history, at.phones, db, clock=system_clock)
    finally:
        await db.close()
    at.victim.ask_to_stop()
    await at.victim.ended()
    if at.victim.postgres_runs:
        faults.append("PostgreSQL outlived a server that was asked to stop")
    return Report(
        seed=seed,
        cycles=done,
        payments=len(history.account),
        acknowledged=len(history.sure),
        tokens=sum(map(len, at.phones.accepted.values())),
        faults=faults,
    )


async def settled(db: asyncpg.Connection, *waiting: str) -> None:
    """Wait until these counts are zero; if one never is, the verdict will say what waits."""
    for _ in range(SETTLE_SECONDS * 20):
        if not any([await db.fetchval(query) for query in waiting]):
            return
        await asyncio.sleep(0.05)
