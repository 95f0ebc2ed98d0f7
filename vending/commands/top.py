"""`vending top`: a server's state on one screen, from its own metrics, each second anew."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Annotated

import aiohttp
from cyclopts import Parameter
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from vending.clock import system_clock
from vending.commands import surroundings
from vending.commands.surroundings import console
from vending.errors import Unavailable
from vending.loadtest import board, exposition
from vending.loadtest import target as targets
from vending.loadtest.board import Row

EVERY_SECONDS = 1.0
PATIENCE_SECONDS = 5.0

_STYLE = {"calm": "", "warning": "yellow", "alarm": "bold red"}
_SIGN = {"calm": " ", "warning": "!", "alarm": "!!"}


class MetricsAway(Unavailable):
    """The server does not show its metrics.

    Check the address, and that /metrics is not kept from you by a proxy.
    """

    code = "metrics_away"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """A page of metrics and the loop's time at which it came."""

    at: float
    samples: dict[str, float]


def top(
    *,
    target: Annotated[
        str, Parameter(help="Server to watch, as http://HOST:PORT.")
    ] = "http://127.0.0.1:8080",
    once: Annotated[bool, Parameter(help="Print one screen and end.", negative="")] = False,
) -> None:
    """Show rates by channel, what waits and for how long, and what is wrong; ends with Ctrl-C.

    Reads /metrics and nothing else. Rates are of the last second.
    """
    with contextlib.suppress(KeyboardInterrupt):
        surroundings.run(_top(target, once=once))


async def _top(url: str, *, once: bool) -> None:
    there = targets.parse(url, owned=True)  # looking does no harm
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        before = await _look(session, there.url)
        await asyncio.sleep(EVERY_SECONDS)
        if once:
            for row in _rows(before, await _look(session, there.url)):
                console.print(
                    f"{_SIGN[row.mood]:<2} {row.name:<19} {row.value}",
                    markup=False,
                    soft_wrap=True,
                )
            return
        with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
            while True:
                try:
                    after = await _look(session, there.url)
                except MetricsAway as fault:
                    live.update(Text(str(fault), style="bold red"), refresh=True)
                else:
                    live.update(_screen(there.url, _rows(before, after)), refresh=True)
                    before = after
                await asyncio.sleep(EVERY_SECONDS)


def _rows(before: _Look, after: _Look) -> list[Row]:
    return board.rows(before.samples, after.samples, seconds=max(0.001, after.at - before.at))


def _screen(url: str, rows: list[Row]) -> Group:
    table = Table(box=None, show_header=False, pad_edge=False)
    for row in rows:
        table.add_row(_SIGN[row.mood], row.name, Text(row.value), style=_STYLE[row.mood])
    return Group(Text(f"{url}  {system_clock():%H:%M:%S} UTC", style="bold"), table)


async def _look(session: aiohttp.ClientSession, url: str) -> _Look:
    try:
        async with session.get(f"{url}/metrics") as response:
            if not response.ok:
                raise MetricsAway(target=url, status=response.status)
            text = await response.text()
    except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError) as fault:
        raise MetricsAway(target=url, fault=type(fault).__name__) from fault
    return _Look(at=asyncio.get_running_loop().time(), samples=exposition.parse(text))
