"""Ask two servers in one process the same: one with the short way, one without it.

    python -m tests.api.express_fuzz --requests 1000000 --seed 7

Connections bring plain and changed requests (`tests.api.express_requests`), one after the other,
some before the last has its answer, and a plain one at the end, so that two readers who disagree
where a request ends are found out. What is answered must be the same, but for the date and the
trace; and so must be what the intake and the sequencer were given, what was logged and counted,
and whether the connection is kept. A request that the way leaves to aiohttp is mostly not sent
at all: it would be the same bytes to the same reader twice. Now and then it is, as the last but
one of its connection.
"""

import argparse
import asyncio
import gc
import random
import re
import sys
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, cast

import msgspec
import uvloop
from aiohttp import web
from structlog.testing import capture_logs

from tests.api.express_requests import (
    BODY_BYTES_MAX,
    MPESA_SECRET,
    OPERATOR,
    OPERATORS,
    PEERS,
    PROXIES,
    SALES_SECRET,
    Pen,
)
from vending import metrics
from vending.answers import SaleUnavailable
from vending.api import app, listener, problems
from vending.api.doors import Doors
from vending.api.express import WAY, Asked, Reading, Way
from vending.api.guard import Guard
from vending.api.lines import LineLimit
from vending.config import Config
from vending.payments.inbox import (
    Conflicting,
    InboxUnavailable,
    NoticeUnstorable,
    Repeated,
    Stored,
)
from vending.payments.intake import Spooled, Taken
from vending.payments.outcomes import Outcome
from vending.payments.payment import NoticeConflicts, OutcomeKind, Payment, PaymentNotice
from vending.postgres.pool import Pool

CONNECTIONS: Final = 100
"""Open at once; each brings a dozen requests or so."""

REQUESTS_MAX: Final = 24
TURNS: Final = 40
"""Of the event loop, in which each of both has answered all it ever will."""

DOUBTED_SENT: Final = 1 / 24

NOW: Final = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)

SETTINGS: Final = {
    "server": {"port": 0, "body_bytes_max": BODY_BYTES_MAX, "trusted_proxies": [PROXIES]},
    "mpesa": {"secret": MPESA_SECRET, "allowed_addresses": [OPERATOR, OPERATORS]},
    "sales": {"secret": SALES_SECRET, "allowed_addresses": [OPERATOR, OPERATORS]},
    "route": [{"short_code": "888880", "product": "prepaid"}],
}

WAITS: Final = (0.0, 0.0, 0.0, 0.01, 0.0, 0.0, 0.3, 0.0, 0.0, 0.0, 0.0, float("inf"))
"""How long a sale would wait, round after round: some are refused."""

_CHANGING = re.compile(rb'\r\nDate: [^\r]*|"trace_id":"[0-9a-f]{16}"')
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ")
_COUNTED = (metrics.requests_refused, metrics.callbacks, metrics.callback_seconds, metrics.shed)

Given = tuple[object, ...]


class Book:
    """Intake and sequencer in one, who write down what they are given, and answer by its name."""

    running = True
    waiting = 0
    per_second = 1e4

    def __init__(self) -> None:
        self.given: list[Given] = []
        self.estimated_wait = 0.0
        self.now = 0.0

    def seconds(self) -> float:
        """Return the same time all round long: some refusals are told alike for a while."""
        return self.now

    def bump(self, payment_id: int) -> None:
        """Note who was put first."""
        self.given.append(("bump", payment_id))

    async def store(self, notice: PaymentNotice, *, product: str, received_at: datetime) -> Taken:
        """Take a notice."""
        self.given.append(("store", notice, product, received_at))
        number = await _fate(notice.transaction_id)
        kinds = (Stored, Stored, Stored, Repeated, Conflicting)
        if number % 6 == 5:
            return Spooled()
        return kinds[number % 6](payment_id=number)

    async def quarantine(self, **kept: object) -> None:
        """Put bytes aside."""
        self.given.append(("quarantine", *sorted(kept.items())))
        await _fate(repr(kept["payload"]))

    async def sell(self, payment: Payment) -> Outcome:
        """Sell."""
        notice = payment.notice
        self.given.append(("sell", payment))
        number = await _fate(notice.transaction_id)
        if number % 12 == 0:
            raise SaleUnavailable(reference=notice.transaction_id)
        if number % 12 == 1:
            raise NoticeConflicts(transaction_id=notice.transaction_id)
        return Outcome(
            payment_id=number, kind=OutcomeKind.TOKEN_ISSUED, decided_at=NOW,
            token=f"{number:020d}", meter_number=notice.account_reference, energy_wh=number,
            tariff="KE-DC", tariff_version="1", lines=(("energy", notice.amount_minor),),
        )  # fmt: skip


async def _fate(name: str) -> int:
    """Return a number that follows from a name; sometimes late, and sometimes not at all."""
    number = zlib.crc32(name.encode(errors="surrogatepass"))
    for _ in range(number >> 8 & 3):
        await asyncio.sleep(0)
    match number & 0x7F:
        case 0:
            raise InboxUnavailable(why="test")
        case 1:
            raise NoticeUnstorable(why="test")
        case 2:
            raise ConnectionResetError
        case 3:
            raise RuntimeError
        case 4:
            raise asyncio.CancelledError
        case 5:
            raise TimeoutError
        case _:
            return number >> 10


class _Numbers:
    def next(self) -> int:
        """Return always the same: which request comes first is not compared."""
        return 7


class _Soonest(random.Random):
    def randrange(self, *_args: Any, **_named: Any) -> int:
        """Spread nothing."""
        return 0


class Wire(asyncio.Transport):
    """A transport without a socket: it holds what was written to it."""

    def __init__(self, peer: object) -> None:
        super().__init__({"peername": peer})
        self._guard: Guard | None = None
        self._held: list[bytes] = []
        self._paused = False
        self.written = bytearray()
        self.closed = False

    def joined(self, guard: Guard) -> None:
        """Begin the connection."""
        self._guard = guard
        guard.connection_made(self)

    def deliver(self, data: bytes) -> None:
        """Bring data from the client, as a socket would: some, and none while reading is paused."""
        if not data or self.closed or self._guard is None:
            return
        if self._paused:
            self._held.append(data)
        else:
            self._guard.data_received(data)

    def kept(self) -> tuple[object, ...]:
        """Return what a client can tell of the connection."""
        state = self._guard.state if self._guard is not None and not self.closed else None
        return (_CHANGING.sub(b"", bytes(self.written)), self.closed, state)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the guard."""
        return cast(Guard, self._guard)

    def write(self, data: Any) -> None:
        """Keep what is written."""
        if not self.closed:
            self.written += data

    def writelines(self, list_of_data: Any) -> None:
        """Keep what is written."""
        for data in list_of_data:
            self.write(data)

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return self.closed

    def close(self) -> None:
        """End the connection."""
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.get_protocol().connection_lost, None)

    def abort(self) -> None:
        """End the connection."""
        self.close()

    def pause_reading(self) -> None:
        """Hold back what comes."""
        self._paused = True

    def is_reading(self) -> bool:
        """Whether what comes is delivered."""
        return not self._paused

    def resume_reading(self) -> None:
        """Let go what was held back."""
        self._paused = False
        held, self._held = self._held, []
        for data in held:
            asyncio.get_running_loop().call_soon(self.deliver, data)

    def get_write_buffer_size(self) -> int:
        """Return how much the client has not read: nothing."""
        return 0


@dataclass(slots=True)
class Script:
    """What a connection brings; the pieces of one step come without waiting for an answer."""

    peer: object
    steps: list[list[bytes]] = field(default_factory=list)


@dataclass(slots=True)
class Told:
    """What became of some scripts on one side."""

    wires: list[tuple[object, ...]]
    given: Counter[Given]
    lines: Counter[Given]
    counted: Counter[Given]


class Side:
    """A server of the two."""

    def __init__(self, book: Book, framework: web.AppRunner, way: Way | None) -> None:
        self._book = book
        self._framework = framework
        self.way = way

    def connected(self, peer: object) -> Wire:
        """Return a new connection from there."""
        server = self._framework.server
        assert server is not None
        wire = Wire(peer)
        wire.joined(Guard(server, way=self.way, left=lambda _guard: None))
        return wire

    async def play(self, scripts: Sequence[Script], *, wait: float, lines: list[Any]) -> Told:
        """Return what becomes of the scripts."""
        lines.clear()
        self._book.given = []
        self._book.estimated_wait = wait
        self._book.now += 1.0
        before = _counts()
        wires = [self.connected(script.peer) for script in scripts]
        for step in range(max((len(script.steps) for script in scripts), default=0)):
            for wire, script in zip(wires, scripts, strict=True):
                for piece in script.steps[step] if step < len(script.steps) else ():
                    wire.deliver(piece)
            for _ in range(TURNS):
                await asyncio.sleep(0)
        told = Told(
            wires=[wire.kept() for wire in wires],
            given=Counter(self._book.given),
            lines=Counter(_line(line) for line in lines if line["event"] != _UNREADABLE),
            counted=_counts() - before,
        )
        for wire in wires:
            wire.close()
        await asyncio.sleep(0)
        return told

    async def close(self) -> None:
        """End the server."""
        await self._framework.cleanup()


_UNREADABLE: Final = "a request could not be read"
"""The line about what aiohttp could not read: written so often a second, whatever comes."""


def _line(line: Any) -> Given:
    return tuple((name, str(value)) for name, value in line.items() if name != "trace_id")


def _counts() -> Counter[Given]:
    return Counter({
        (sample.name, *sorted(sample.labels.items())): int(sample.value)
        for counted in _COUNTED
        for family in counted.collect()
        for sample in family.samples
        if sample.name.endswith(("_total", "_count"))
    })  # fmt: skip


async def side(*, short: Callable[[Way], Way] | None) -> Side:
    """Return a server, with its short way changed by `short`, or without one."""
    book = Book()
    config = msgspec.convert(SETTINGS, Config)
    doors = Doors(
        config=config, clock=lambda: NOW, intake=book, readers=cast(Pool, None),
        numbers=_Numbers(), sequencer=book, keys_loaded=lambda: True, tariffs_loaded=lambda: True,
        started=lambda: True,
    )  # fmt: skip
    built = app.build(doors, chance=_Soonest(), seconds=book.seconds)
    # Nobody measures how late the loop is: that would be another answer at another time.
    built.cleanup_ctx.clear()
    framework = listener.framework(built, config.server)
    await framework.setup()
    return Side(book, framework, short(built[WAY]) if short is not None else None)


@dataclass(slots=True)
class Found:
    """What a run has found."""

    requests: int = 0
    express: int = 0
    whole: int = 0
    doubted: int = 0
    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        share = 100 * self.express / max(1, self.requests)
        return (
            f"{self.requests} requests: {self.express} took the express way ({share:.0f} %),"
            f" {self.whole} plain ones to other addresses, {self.doubted} left to aiohttp;"
            f" {self.sent} sent to both sides; {len(self.differences)} differences;"
            f" answers {dict(sorted(self.statuses.items()))}"
        )


class Fuzz:
    """Writes scripts and plays them on both sides."""

    def __init__(self, ours: Side, theirs: Side, lines: list[Any], *, seed: int) -> None:
        self._ours = ours
        self._theirs = theirs
        self._lines = lines
        self._pen = Pen(seed)
        self.found = Found()

    async def play(self, *, requests: int) -> None:
        """Play until so many requests were written, or something differs."""
        round_number = 0
        while self.found.requests < requests and not self.found.differences:
            scripts = [self._script() for _ in range(CONNECTIONS)]
            wait = WAITS[round_number % len(WAITS)]
            if not await self._same(scripts, wait):
                await self._name(scripts, wait)
            round_number += 1

    async def _same(self, scripts: Sequence[Script], wait: float) -> bool:
        return not _difference(*await self._both(scripts, wait))

    async def _both(self, scripts: Sequence[Script], wait: float) -> tuple[Told, Told]:
        ours = await self._ours.play(scripts, wait=wait, lines=self._lines)
        theirs = await self._theirs.play(scripts, wait=wait, lines=self._lines)
        for written, *_ in theirs.wires:
            self.found.statuses.update(map(int, _STATUS.findall(cast(bytes, written))))
        return ours, theirs

    async def _name(self, scripts: Sequence[Script], wait: float) -> None:
        """Say which scripts make a difference alone."""
        for script in scripts:
            if why := _difference(*await self._both([script], wait)):
                self.found.differences.append(f"{script}\n{why}")
        if not self.found.differences:
            why = _difference(*await self._both(scripts, wait)) or "only once"
            self.found.differences.append(f"no script alone: {why}")

    def _script(self) -> Script:
        chance = self._pen.chance
        script = Script(chance.choice(PEERS))
        for _ in range(chance.randrange(1, REQUESTS_MAX)):
            request = self._pen.request()
            doubted = self._judged(request, script.peer)
            if doubted and chance.random() > DOUBTED_SENT:
                continue
            self._add(script, request)
            if doubted:
                break
        self._add(script, self._pen.plain(), judge=True)
        return script

    def _add(self, script: Script, request: bytes, *, judge: bool = False) -> None:
        if judge:
            self._judged(request, script.peer)
        self.found.sent += 1
        if script.steps and self._pen.chance.random() < 0.1:
            script.steps[-1].append(request)
        else:
            script.steps.append([request])

    def _judged(self, request: bytes, peer: object) -> bool:
        """Count a request as what our side takes it for, and say whether it is in doubt."""
        way = self._ours.way
        assert way is not None
        read = way.read(request, str(peer))
        self.found.requests += 1
        self.found.express += isinstance(read, Asked)
        self.found.whole += read is Reading.WHOLE
        self.found.doubted += read is Reading.DOUBT
        return read is Reading.DOUBT


def _difference(ours: Told, theirs: Told) -> str:
    """Return what differs, or nothing."""
    for mine, yours in zip(ours.wires, theirs.wires, strict=True):
        if mine != yours:
            return f"short way: {mine}\naiohttp:   {yours}"
    for name in ("given", "lines", "counted"):
        mine, yours = getattr(ours, name), getattr(theirs, name)
        if mine != yours:
            return f"{name}: short way {mine - yours}, aiohttp {yours - mine}"
    return ""


@contextmanager
def every_line() -> Iterator[list[Any]]:
    """Yield the log's lines; all of them, since both sides must write the same."""
    limit = problems._lines
    problems._lines = LineLimit(per_second=1_000_000_000)
    try:
        with capture_logs() as lines:
            yield cast(list[Any], lines)
    finally:
        problems._lines = limit


async def fuzz(*, requests: int, seed: int, short: Callable[[Way], Way] = lambda way: way) -> Found:
    """Return what so many requests find; `short` may put another way in the place of ours."""
    with every_line() as lines:
        theirs, ours = await side(short=None), await side(short=short)
        try:
            run = Fuzz(ours, theirs, lines, seed=seed)
            await run.play(requests=requests)
        finally:
            await asyncio.gather(*_closing(ours, theirs))
    return run.found


def _closing(*sides: Side) -> list[Awaitable[None]]:
    return [one.close() for one in sides]


def main(arguments: Sequence[str]) -> int:
    """Run the fuzz, and return how many differences there are, at most one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    began = time.monotonic()
    gc.set_threshold(50_000)
    found = uvloop.run(fuzz(requests=given.requests, seed=given.seed))
    sys.stdout.write(f"seed {given.seed}: {found}; {time.monotonic() - began:.0f} s\n")
    for difference in found.differences[:5]:
        sys.stdout.write(f"{difference}\n")
    return min(1, len(found.differences))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
