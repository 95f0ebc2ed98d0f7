"""Conducts a load test: starts the generator, looks at the target each second, keeps the record."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self

import aiohttp
import msgspec

from vending.errors import Unavailable
from vending.loadtest import exposition, gun
from vending.loadtest.gun import Order
from vending.loadtest.run import Asked, Ended, Look, Run, Second
from vending.loadtest.target import Target

LOOK_EVERY_SECONDS = 1.0
LOOK_SECONDS_MAX = 5.0

KEPT = (
    "stima_", "process_cpu_seconds_total", "process_resident_memory_bytes",
    "process_start_time_seconds",
)  # fmt: skip
"""What is kept of a look: the product's own metrics and its process's, not the interpreter's."""

_LINE_BYTES_MAX = 2**22
_ENDING_SECONDS = 5.0
_COUNTED_NOT_KEPT = "_created"


class TargetAway(Unavailable):
    """Nobody answers at the target of the load test.

    Start the server, or mend --target; `vending demo` starts one to try on.
    """

    code = "target_away"


class GeneratorFailed(Unavailable):
    """The load generator ended before its work was done.

    Its own error stands above; if there is none, the machine may have run out of memory.
    """

    code = "generator_failed"


Told = Callable[[Second | Look], None]
"""Told of each second and each look as they come."""

_word = msgspec.json.Decoder(Second | Ended)


async def drive(order: Order, asked: Asked, *, settle_seconds: float, tell: Told) -> Run:
    """Run a load test and return its record.

    After the last answer the target has `settle_seconds` to decide what it has acknowledged.
    Raises TargetAway and GeneratorFailed.
    """
    seconds: list[Second] = []
    async with _loaded(order) as process, Watch(order.target, tell) as watch:
        await watch.look()
        watching = asyncio.create_task(watch.run())
        try:
            _say(process, gun.GO)
            ended = await _followed(process, seconds, tell)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        await watch.settle(seconds_max=settle_seconds)
    return Run(
        asked=asked, started_at=order.started_at, seconds=seconds, ended=ended, looks=watch.looks
    )


class Watch:
    """Looks at a target's metrics; an async context manager that owns its connection."""

    def __init__(self, target: Target, tell: Told) -> None:
        self.looks: list[Look] = []
        self._url = f"{target.url}/metrics"
        self._tell = tell
        self._session: aiohttp.ClientSession | None = None
        self._began = asyncio.get_running_loop().time()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LOOK_SECONDS_MAX))
        return self

    async def __aexit__(self, *_fault: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def run(self) -> None:
        """Look each second, until cancelled."""
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        while True:
            await self.look()
            since = loop.time() - self._began
            await asyncio.sleep(LOOK_EVERY_SECONDS - since % LOOK_EVERY_SECONDS)

    async def look(self) -> None:
        """Look once, and keep what was seen."""
        at = asyncio.get_running_loop().time() - self._began
        look = Look(at=round(at, 3), samples=await self._seen())
        self.looks.append(look)
        self._tell(look)

    async def settle(self, *, seconds_max: float) -> None:
        """Look until nothing that the target stored in the run is undecided, at most so long."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds_max
        while True:
            await self.look()
            seen = [look.samples for look in self.looks if look.samples is not None]
            if not seen or undecided(seen[0], seen[-1]) in (0, None) or loop.time() >= end:
                return
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def _seen(self) -> dict[str, float] | None:
        if self._session is None:
            raise RuntimeError("use the watch as an async context manager")
        try:
            async with self._session.get(self._url) as response:
                if not response.ok:
                    return None
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError):
            return None
        return {
            series: value
            for series, value in exposition.parse(text).items()
            if series.startswith(KEPT) and _COUNTED_NOT_KEPT not in series
        }


def undecided(first: dict[str, float], last: dict[str, float]) -> float | None:
    """Return how many payments stored between two looks have no outcome yet; None: unknown."""
    stored = exposition.rise(first, last, "stima_payments_stored_total", how="stored")
    if stored is None:
        return None
    decided = exposition.rise(first, last, "stima_outcomes_total") or 0.0
    aside = exposition.rise(first, last, "stima_quarantined_total", reason="cannot_be_vended")
    return max(0.0, stored - decided - (aside or 0.0))


@asynccontextmanager
async def _loaded(order: Order) -> AsyncIterator[Process]:
    """Start the generator's process and connect it; whatever happens, it ends with the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", gun.__name__, stdin=PIPE, stdout=PIPE, limit=_LINE_BYTES_MAX
    )
    try:
        _say(process, msgspec.json.encode(order))
        if await _heard(process) != gun.READY:
            raise TargetAway(target=order.target.url)
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError, TimeoutError):
                async with asyncio.timeout(_ENDING_SECONDS):
                    process.terminate()
                    await process.wait()


def _say(process: Process, word: bytes) -> None:
    if process.stdin is not None:
        process.stdin.write(word + b"\n")


async def _heard(process: Process) -> bytes:
    """Return the generator's next word; raises GeneratorFailed when it has ended."""
    line = await process.stdout.readline() if process.stdout is not None else b""
    if not line.endswith(b"\n"):
        raise GeneratorFailed
    return line.rstrip(b"\n")


async def _followed(process: Process, seconds: list[Second], tell: Told) -> Ended:
    """Take the generator's reports until it has ended."""
    while True:
        word = _word.decode(await _heard(process))
        if isinstance(word, Ended):
            return word
        seconds.append(word)
        tell(word)
