"""A server of three processes, killed one by one under load: nothing acknowledged is lost."""

import asyncio
import json
import os
import signal
from dataclasses import replace

import aiohttp
import pytest

from tests.commands.demo_process import DemoProcess, served
from tests.database import Database
from tests.processes import family
from tests.torture import peers, verdict
from tests.torture.peers import until
from vending.simulation.operator import Operator

pytestmark = [pytest.mark.torture, pytest.mark.timeout(300)]

NODE = 1

SERVES = '"a front serves"'


def fronts_of(running: DemoProcess) -> dict[int, int]:
    """Return the process of each front that has said it serves, the latest by its number."""
    told = [json.loads(line) for line in running.lines if SERVES in line]
    return {one["front"]: one["process"] for one in told}


async def page(url: str) -> dict[str, float]:
    """Read the metrics, by their name and labels."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
        text = await answer.text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def callbacks(counted: dict[str, float]) -> float:
    """Return how many confirmations were answered."""
    return sum(
        value
        for name, value in counted.items()
        if name.startswith("stima_callbacks_total") and 'call="confirm"' in name
    )


async def kill_a_front(running: DemoProcess, url: str) -> None:
    """Kill one of two fronts; the other goes on, and there are two again."""
    before = fronts_of(running)
    counted = await page(url)
    assert counted["stima_fronts"] == 2
    assert callbacks(counted) > 0
    os.kill(before[1], signal.SIGKILL)
    while fronts_of(running)[1] == before[1]:
        await running.line(SERVES)
    after = await page(url)
    assert after["stima_fronts"] == 2
    assert callbacks(after) >= callbacks(counted)


async def kill_the_core(running: DemoProcess) -> None:
    """Kill the core as a crash would; its fronts end by themselves."""
    fronts = fronts_of(running)
    os.kill(running.process.pid, signal.SIGKILL)

    async def gone() -> bool:
        return not any(family(process) for process in fronts.values())

    await until(gone)


async def test_fronts_and_core_are_killed_and_nothing_acknowledged_is_lost(
    database: Database,
) -> None:
    async with peers.outside(database, nodes=[NODE], more="workers = 2") as outside:
        settings = peers.settings_file(outside.ground, NODE)
        async with served(settings, outside.ground.environment) as running:
            url = await peers.url_of(running)
            async with outside.customers(url, seed=1) as (operator, crowd):
                paying = asyncio.create_task(crowd.run())
                try:
                    await crowd.acknowledged(100)
                    await kill_a_front(running, url)
                    await crowd.acknowledged(100)
                    await kill_the_core(running)
                    async with served(settings, outside.ground.environment) as again:
                        await go_on(operator, again)
                        await crowd.acknowledged(50)
                        paying.cancel()
                        await asyncio.wait([paying])
                        await crowd.ask_again()
                        faults = await outside.faults()
                        assert not faults, verdict.shown(faults)
                        fronts = fronts_of(again)
                        assert await again.interrupt() == (0, [])
                        assert not any(family(process) for process in fronts.values())
                finally:
                    paying.cancel()


async def go_on(operator: Operator, running: DemoProcess) -> None:
    """Call the new server from now on."""
    operator.line = replace(operator.line, base_url=await peers.url_of(running))
