"""Storms, poison, jumping clocks and bad callers: the money comes through, and only once."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from tests.database import Database
from tests.journeys import outages
from tests.journeys import world as worlds
from tests.journeys.outages import Stream
from tests.journeys.world import World
from vending.clock import system_clock
from vending.simulation.history import Call

POISON_BATCH = 500


async def test_a_thousand_copies_of_one_confirmation_are_one_token(world: World) -> None:
    payment = world.operator.take(world.home().meter_number, 500_00)
    answers = await world.operator.at_once(payment, 1_000)
    assert all(answer.ok for answer in answers)
    assert len({answer.text for answer in answers}) == 1
    await outages.all_is_well(world)
    assert await world.value("select count(*) from payment") == 1
    assert await world.value("select count(*) from outcome where token is not null") == 1
    assert await world.value("select count(*) from quarantine") == 0


async def test_one_poison_payment_among_five_hundred_is_put_aside_alone(world: World) -> None:
    poison = world.homes[0]
    await world.owner_does(
        "alter table outcome add constraint no_poison"
        f" check (meter_number is distinct from '{poison.meter_number}')"
    )
    homes = [home for home in world.homes if home is not poison]
    taken = [
        world.operator.take(homes[n % len(homes)].meter_number, 200_00)
        for n in range(POISON_BATCH - 1)
    ]
    taken.insert(POISON_BATCH // 2, world.operator.take(poison.meter_number, 200_00))
    world.server.sequencer.pause()
    answers = await world.operator.in_any_order(taken)
    world.server.sequencer.resume()
    assert all(answer.ok for answer in answers)
    async with asyncio.timeout(outages.SETTLED_SECONDS_MAX):
        while await world.value("select count(*) from quarantine") == 0:
            await asyncio.sleep(0.02)
        while await world.value("select count(*) from outcome") < POISON_BATCH - 1:
            await asyncio.sleep(0.02)
    (row,) = await world.rows("select reason, transaction_id from quarantine")
    assert tuple(row) == ("cannot_be_vended", taken[POISON_BATCH // 2].transaction_id)
    assert await world.broken_promises() == []


class JumpingClock:
    """The system's clock, as somebody sets it wrong by hours."""

    def __init__(self) -> None:
        self.wrong_by = timedelta(0)

    def __call__(self) -> datetime:
        return system_clock() + self.wrong_by


async def test_a_clock_that_jumps_by_hours_costs_no_payment_and_no_identifier(
    tmp_path: Path, sealed_keys: Path, database: Database
) -> None:
    shutil.copytree(sealed_keys, tmp_path, dirs_exist_ok=True)
    clock = JumpingClock()
    async with worlds.running(tmp_path, database, validates=False, clock=clock) as world:
        stream = Stream(world)
        async with stream.flowing():
            for hours in (0, 1, 0, -1, 0):
                clock.wrong_by = timedelta(hours=hours)
                await stream.more(40)
        assert stream.refused == []
        outages.every_call_has_its_answer(world)
        await outages.all_is_well(world)
        reasons = await world.rows("select distinct reason from outcome where token is null")
        assert {row["reason"] for row in reasons} <= {"amount_too_small"}


async def test_slow_and_enormous_requests_do_not_stop_those_who_pay(world: World) -> None:
    stream = Stream(world)
    async with stream.flowing(), asyncio.TaskGroup() as bad:
        slow = [bad.create_task(_dribble(world)) for _ in range(20)]
        large = [bad.create_task(_shove(world)) for _ in range(4)]
        await stream.more(200)
        statuses = await asyncio.gather(*large)
        for one in slow:
            one.cancel()
    assert set(statuses) <= {b"413", b""}
    assert stream.refused == []
    outages.every_call_has_its_answer(world)
    await outages.all_is_well(world)


@asynccontextmanager
async def _connected(
    world: World,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    address = urlsplit(world.server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def _head(world: World, rest: str) -> bytes:
    path = urlsplit(world.operator.line.url(Call.CONFIRM)).path
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{rest}".encode()


async def _dribble(world: World) -> None:
    """Send a request a byte at a time, for as long as anybody listens."""
    async with _connected(world) as (_reader, writer):
        for byte in _head(world, "X-Slow: " + "x" * 4_000):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)


async def _shove(world: World) -> bytes:
    """Send fifty megabytes in chunks, and return the status of the answer, if one was read."""
    async with _connected(world) as (reader, writer):
        writer.write(_head(world, "Transfer-Encoding: chunked\r\n\r\n"))
        try:
            for _ in range(800):
                writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
                await writer.drain()
            return (await reader.read(12))[9:12]
        except ConnectionError:
            return b""
