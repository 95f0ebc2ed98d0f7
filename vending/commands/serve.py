"""`vending serve`: run the server until it is told to stop."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators
from msgspec.structs import replace
from rich.console import Console

from vending import collector, log, sandbox_server, server
from vending.commands import first_sale, surroundings
from vending.commands.surroundings import ConfigFile
from vending.config import Config

Workers = Annotated[
    int | None,
    Parameter(
        name="--workers",
        help="Front processes that share the port, in place of server.workers.",
        validator=validators.Number(gte=0, lte=64),
    ),
]
Sandbox = Annotated[
    bool,
    Parameter(
        name="--sandbox",
        negative="",
        help="Be a sandbox: for vendors' test keys alone, without vending keys, tariffs or money.",
    ),
]


def serve(*, config: ConfigFile = None, workers: Workers = None, sandbox: Sandbox = False) -> None:
    """Run the server in the foreground.

    SIGTERM or Ctrl-C drains: no new connections, work in hand is finished, then it ends. A second
    signal ends it at once; nothing acknowledged is lost by that either.
    """
    settings = surroundings.settings(config)
    if workers is not None:
        settings = replace(settings, server=replace(settings.server, workers=workers))
    surroundings.run(_play(settings, file=config) if sandbox else _serve(settings))


async def _serve(config: Config) -> None:
    logger, stop = log.get("serve"), _asked()

    def on_line(line: str) -> None:
        logger.info("postgresql says", line=line)

    async with server.running(config, on_line=on_line) as running:
        logger.info("listening", url=running.url)
        collector.spare()
        await _until(stop, running.opened)
        logger.info("draining", seconds_max=config.server.drain_seconds)
    logger.info("stopped")


async def _play(config: Config, *, file: Path | None) -> None:
    logger, stop = log.get("serve"), _asked()
    async with sandbox_server.running(config) as url:
        logger.info("listening", url=url, sandbox=True)
        # For a person; what collects a service's log is given events alone.
        beside = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        if beside.is_terminal:
            beside.print(first_sale.steps(url, program=surroundings.program(), config=file))
        await stop.wait()
    logger.info("stopped")


def _asked() -> asyncio.Event:
    """Return what is set when somebody asks for the end; asked twice, the work is cancelled."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    this = asyncio.current_task()

    def asked() -> None:
        if stop.is_set() and this is not None:
            this.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked)
    return stop


async def _until(stop: asyncio.Event, opened: "asyncio.Task[None]") -> None:
    """Return when the server is to stop. Raises what ended its wait for the database."""
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({stopped, opened}, return_when=asyncio.FIRST_COMPLETED)
    if opened.done():
        opened.result()
    await stopped
