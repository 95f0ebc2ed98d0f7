"""`vending serve`: run the server until it is told to stop."""

import asyncio
import gc
import signal

from vending import log, server
from vending.commands import surroundings
from vending.commands.surroundings import ConfigFile
from vending.config import Config

COLLECT_AFTER = 50_000
"""Containers made before the youngest generation is looked at: a batch of 500 makes about that."""


def serve(*, config: ConfigFile = None) -> None:
    """Run the server in the foreground.

    SIGTERM or Ctrl-C drains: no new connections, work in hand is finished, then it ends. A second
    signal ends it at once; nothing acknowledged is lost by that either.
    """
    surroundings.run(_serve(surroundings.settings(config)))


def _spare_the_collector() -> None:
    """Let the cyclic collector leave alone what lives for ever, and look at the rest less often.

    A batch makes tens of thousands of short-lived values that no cycle holds; at the interpreter's
    own thresholds the collector would walk the whole heap in the middle of it, again and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)


async def _serve(config: Config) -> None:
    logger = log.get("serve")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    this = asyncio.current_task()

    def asked() -> None:
        if stop.is_set() and this is not None:
            this.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked)

    def on_line(line: str) -> None:
        logger.info("postgresql says", line=line)

    async with server.running(config, on_line=on_line) as running:
        logger.info("listening", url=running.url)
        _spare_the_collector()
        await stop.wait()
        logger.info("draining", seconds_max=config.server.drain_seconds)
    logger.info("stopped")
