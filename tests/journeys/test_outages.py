"""PostgreSQL dies, stops, freezes, and the spool fills up, while customers go on paying."""

import asyncio
import contextlib
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.journeys import outages
from tests.journeys import world as worlds
from tests.journeys.outages import Postgres, Stream
from tests.journeys.world import World
from vending.simulation.operator import Answer

ANSWER_SECONDS_MAX = 8.0
"""An operator hangs up after this; each answer is asked for within it by the operator itself."""

SPOOL_BYTES = "size=64k"


@pytest.fixture
async def shaky(tmp_path: Path, sealed_keys: Path) -> AsyncIterator[tuple[World, Postgres]]:
    """Run the product on a PostgreSQL that the test may do anything to."""
    shutil.copytree(sealed_keys, tmp_path, dirs_exist_ok=True)
    async with (
        outages.postgres() as postgres,
        worlds.running(tmp_path, postgres.database, validates=False) as world,
    ):
        yield world, postgres


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "stopped"])
async def test_customers_pay_on_while_postgresql_is_ended_and_started_again(
    shaky: tuple[World, Postgres], how: signal.Signals
) -> None:
    world, postgres = shaky
    stream = Stream(world)
    async with stream.flowing():
        for _ in range(3):
            await stream.more(30)
            await postgres.ends(how)
        await stream.more(30)
    assert stream.refused == []
    outages.every_call_has_its_answer(world)
    await outages.all_is_well(world)


async def test_a_frozen_postgresql_stops_nobody_from_paying_asking_or_dialling(
    shaky: tuple[World, Postgres],
) -> None:
    world, postgres = shaky
    home = world.home()
    stream = Stream(world)
    await _warm(world)
    async with stream.flowing():
        await stream.more(30)
        with postgres.frozen():
            await stream.more(1)
            slowest, answers = await _asked_while_frozen(world, home.meter_number, home.phones[0])
            await stream.more(100)
            assert outages.spooled(world) > 0
        await stream.more(30)
    checked, dialled = answers
    assert checked.ok  # the policy: on the check digit alone
    assert dialled.startswith("END We c")
    assert slowest < ANSWER_SECONDS_MAX
    assert stream.refused == []
    outages.every_call_has_its_answer(world)
    await outages.all_is_well(world)


async def _warm(world: World) -> None:
    """Have every connection made: a frozen PostgreSQL is then one that answered a moment ago."""
    home = world.home()
    assert (await world.operator.check(world.operator.take(home.meter_number, 100_00))).ok
    assert (await world.operator.pay(home.meter_number, 100_00)).acknowledged


async def _asked_while_frozen(
    world: World, meter: str, phone: str
) -> tuple[float, tuple[Answer, str]]:
    """Validate and dial; return the longest time and what was said."""
    began = time.monotonic()
    checked = await world.operator.check(world.operator.take(meter, 100_00))
    middle = time.monotonic()
    dialled = await _dial(world, phone)
    return max(middle - began, time.monotonic() - middle), (checked, dialled)


async def _dial(world: World, phone: str) -> str:
    form = {"sessionId": "1", "phoneNumber": phone, "text": "1"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(world.ussd_url, data=form) as answer,
    ):
        return await answer.text()


async def test_a_spool_whose_disk_is_full_refuses_and_loses_nothing(
    tmp_path: Path, sealed_keys: Path
) -> None:
    shutil.copytree(sealed_keys, tmp_path, dirs_exist_ok=True)
    with _small_disk(tmp_path / "small") as small:
        async with (
            outages.postgres() as postgres,
            worlds.running(
                tmp_path, postgres.database, validates=False, spool=small / "spool"
            ) as world,
        ):
            stream = Stream(world)
            async with stream.flowing():
                await stream.more(10)
                with postgres.frozen():
                    while not stream.refused:
                        await stream.more(10)
                await stream.more(1)
            assert {answer.status for answer in stream.refused} == {503}
            assert any(answer.ok for _payment, answer in stream.answers)
            for payment, answer in stream.answers:
                if not answer.ok:
                    assert (await world.operator.confirm(payment, resends=50)).ok
            await outages.all_is_well(world)


@contextlib.contextmanager
def _small_disk(where: Path) -> Iterator[Path]:
    """Mount a disk of 64 KiB; where that is not allowed the test cannot be made."""
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", SPOOL_BYTES, "tmpfs", str(where)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no disk may be mounted here; tests/payments/test_spool.py fills one up too")
    try:
        yield where
    finally:
        subprocess.run(["umount", str(where)], check=True)


async def test_a_long_outage_is_vended_exactly_once_when_it_is_over(
    shaky: tuple[World, Postgres],
) -> None:
    """Duplicates, before, during and after: each payment has one outcome all the same."""
    world, postgres = shaky
    homes = world.homes[:40]
    payments = [world.operator.take(home.meter_number, 200_00) for home in homes]
    early, late = payments[:20], payments[20:]
    for payment in early:
        assert (await world.operator.confirm(payment)).ok
    with postgres.frozen():
        answers = await asyncio.gather(*(world.operator.at_once(one, 3) for one in payments))
        assert all(one.ok for three in answers for one in three)
    for payment in late:
        assert (await world.operator.confirm(payment)).ok
    await outages.all_is_well(world)
    assert await world.value("select count(*) from payment") == 40
    assert await world.value("select count(*) from outcome") == 40
