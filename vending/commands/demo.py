"""`vending demo` (`make run`): a utility, an operator, phones and meters on this one machine.

Starts PostgreSQL and the server, plays one purchase on the terminal, prints the command that makes
the next, and serves until it is interrupted. A second start finds everything where it was.
"""

import asyncio
import random
import secrets
import shlex
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import uvloop
from cyclopts import Parameter
from rich.console import Console

from vending import log, server
from vending.clock import Clock, system_clock
from vending.commands import demo_till, demo_utility, surroundings
from vending.commands.demo_story import Narrator, next_purchase, play
from vending.commands.demo_utility import DemoUtility
from vending.config import Config
from vending.postgres import database
from vending.server import Running
from vending.simulation.history import History
from vending.simulation.meter import Street
from vending.simulation.operator import Line, Operator
from vending.simulation.sms_carrier import SmsCarrier
from vending.simulation.town import Town
from vending.simulation.visit import Whereabouts

HISTORY = "operator.jsonl"
HOME = Path(".stima")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything that runs in a demo, and its handles."""

    config: Config
    server: Running
    town: Town
    operator: Operator
    till: Path


def demo(
    *,
    home: Annotated[Path, Parameter(help="Directory of the demo: database, keys, meters.")] = HOME,
    port: Annotated[int, Parameter(help="Port of the server; 0 picks a free one.")] = 8080,
    once: Annotated[bool, Parameter(help="Play the story and end.", negative="")] = False,
) -> None:
    """Start a demo utility and play one purchase; serves until Ctrl-C."""
    console = Console(highlight=False, soft_wrap=True)
    with demo_utility.alone(home):
        uvloop.run(_demo(console, home=home, port=port, once=once, clock=system_clock))


async def _demo(console: Console, *, home: Path, port: int, once: bool, clock: Clock) -> None:
    demo_utility.require_free(port)
    interrupted = asyncio.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(one, interrupted.set)
    narrator = Narrator(console)
    work = asyncio.create_task(
        _serve(narrator, home=home, port=port, once=once, clock=clock), name="demo"
    )
    stop = asyncio.create_task(interrupted.wait(), name="interrupted")
    await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if not work.done():
        # A second interrupt ends the process the usual way, without waiting for anything.
        for one in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(one)
        narrator.say("stopping", "finishing work in hand; the data stays")
        work.cancel()
    try:
        await work
    except asyncio.CancelledError:
        narrator.say("stopped", f"start again and everything in {home} is still there")


async def _serve(narrator: Narrator, *, home: Path, port: int, once: bool, clock: Clock) -> None:
    async with world(narrator, home=home, port=port, clock=clock) as running:
        operator, town = running.operator, running.town
        customer = next(iter(town.street.homes.values()))
        await play(narrator, running.server.database.dsn, operator, town, customer)
        if once:
            return
        elsewhere = "" if home == HOME else f" --home {shlex.quote(str(home))}"
        narrator.show(
            next_purchase(operator, customer, program=surroundings.program(), home=elsewhere)
            + demo_till.first_sale(running.till)
            + f"\nServing since {clock():%H:%M} UTC; Ctrl-C stops everything and keeps the data.\n"
        )
        town.watch(narrator.reading)
        await narrator.keep_up()


@asynccontextmanager
async def world(narrator: Narrator, *, home: Path, port: int, clock: Clock) -> AsyncIterator[World]:
    """Run a whole demo while the context is open: database, server, town and operator."""
    utility = demo_utility.opened(home)
    narrator.title(f"Stima demo in {home}")
    settings = utility.settings(port=port, town_url="")
    log.configure(level=settings.log.level, form=settings.log.format)
    async with database.opened(settings.database) as base:
        narrator.say("postgresql", "running")
        await demo_utility.furnish(utility, base, clock=clock, say=narrator.say)
        test_key = await demo_till.key(utility, base.dsn, clock=clock)
        async with _served(narrator, utility, port=port, test_key=test_key, clock=clock) as running:
            yield running


@asynccontextmanager
async def _served(
    narrator: Narrator, utility: DemoUtility, *, port: int, test_key: str, clock: Clock
) -> AsyncIterator[World]:
    kept = utility.secrets
    ring = await asyncio.to_thread(utility.key_store.open, passphrase=kept.key_passphrase)
    carrier = SmsCarrier(clock=clock, api_key=kept.sms_api_key)
    street = Street(utility.home / "street.db", utility.homes, ring=ring, clock=clock)
    with closing(street):
        town = Town(carrier, street)
        async with town.serving() as town_url:
            settings = utility.settings(port=port, town_url=town_url)
            async with server.running(settings, clock=clock) as running:
                carrier.report_url = f"{running.url}/sms/{kept.sms_callback_path}/report"
                narrator.say("server", running.url)
                till = await demo_till.write(utility, url=running.url, kept=test_key)
                line = Line(
                    base_url=running.url,
                    secret=kept.callback_path,
                    short_code=demo_utility.SHORT_CODE,
                )
                Whereabouts(
                    url=running.url,
                    town_url=town_url,
                    secret=kept.callback_path,
                    short_code=demo_utility.SHORT_CODE,
                ).write(utility.home)
                chance = random.Random(secrets.randbits(64))  # noqa: S311 -- receipt numbers
                try:
                    with History(utility.home / HISTORY) as history:
                        async with Operator(
                            line, history=history, clock=clock, randomness=chance
                        ) as operator:
                            yield World(
                                config=settings,
                                server=running,
                                town=town,
                                operator=operator,
                                till=till,
                            )
                finally:
                    Whereabouts.forget(utility.home)
