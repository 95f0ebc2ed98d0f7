"""A front: a process that listens on the server's port and asks its core for everything.

It holds no keys and writes to no database; it reads, and speaks HTTP. It ends when its core asks it
to, and when its core has gone: then what is being answered is answered with "later", never a yes.
"""

import asyncio
import secrets
import signal
import socket
from contextlib import AsyncExitStack

from vending import collector, log
from vending.api import app, listener
from vending.api.doors import Doors
from vending.clock import RisingClock, system_clock
from vending.config import Config, Server
from vending.fronts import line as lines
from vending.fronts.line import FarIntake, FarSequencer, Line
from vending.postgres import pool
from vending.postgres.pool import Pool

COUNT_SECONDS = 1.0
"""How often the core hears what was counted: what a killed front takes along is at most that."""

SHARE_SECONDS = 0.1
"""How often other fronts hear what was let in: how long each may count a quota for its own."""

_BODY_BYTES_MAX = Server().body_bytes_max


class Labels:
    """Numbers for what nothing is stored under: the core gives out those that count."""

    def next(self) -> int:
        """Return a number."""
        return secrets.randbits(62)


async def run(end: socket.socket) -> None:
    """Serve as a front over one end of a pair of sockets, until asked to stop or left alone."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    line = Line(body_bytes_max=_BODY_BYTES_MAX)
    await loop.create_unix_connection(lambda: line.wire, sock=end)
    welcome = await line.welcomed()
    config = welcome.config
    log.configure(level=config.log.level, form=config.log.format)
    log.say_everywhere(front=welcome.front)
    async with AsyncExitStack() as stack:
        readers = await stack.enter_async_context(
            pool.create(
                config.database.dsn,
                size=config.database.readers,
                shut=lambda: line.state.waits_because is not None,
            )
        )
        door = await listener.listen(
            app.build(doors(line, config, readers)), config.server, shared_port=welcome.port
        )
        stack.push_async_callback(line_closed, line)
        stack.push_async_callback(door.close)
        lines.serving(line)
        collector.spare()
        for telling in (_count(line), _share(line)):
            stack.callback(asyncio.create_task(telling).cancel)
        ends = {asyncio.create_task(one.wait()) for one in (stop, line.lost)}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for one in ends:
            one.cancel()
        if line.lost.is_set():
            log.get("fronts").warning("the core has gone, and this front ends")


def doors(line: Line, config: Config, readers: Pool) -> Doors:
    """Return doors that lead through a line to the core."""
    return Doors(
        config=config,
        clock=RisingClock(system_clock),
        intake=FarIntake(line),
        readers=readers,
        numbers=Labels(),
        sequencer=FarSequencer(line),
        keys_loaded=lambda: line.state.keys_loaded,
        tariffs_loaded=lambda: line.state.tariffs_loaded,
        started=lambda: line.state.started,
        waits_because=lambda: line.state.waits_because,
        page=lambda: lines.page(line),
        errands=lambda errand: lines.carried(line, errand),
        requests=line.requests,
    )


async def line_closed(line: Line) -> None:
    """Say the last count and hang up."""
    lines.count(line)
    line.wire.close()


async def _count(line: Line) -> None:
    while True:
        await asyncio.sleep(COUNT_SECONDS)
        lines.count(line)


async def _share(line: Line) -> None:
    while True:
        await asyncio.sleep(SHARE_SECONDS)
        lines.share(line)
