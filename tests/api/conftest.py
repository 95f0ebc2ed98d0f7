"""A whole API on a real socket: real inbox, real PostgreSQL, and a caller on the loopback."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from structlog.testing import capture_logs
from structlog.types import EventDict

from tests.api.heard import Heard, listening, require_promised
from tests.conftest import SettableClock
from tests.database import Database
from vending.api import app, listener, problems
from vending.api.doors import Doors
from vending.api.lines import LineLimit
from vending.api.listener import Listener
from vending.clock import Clock
from vending.config import Config
from vending.meters import directory
from vending.meters.meter import Meter, MeterStatus
from vending.numbering import Numbers
from vending.payments import spool
from vending.payments.inbox import Inbox
from vending.payments.intake import Intake
from vending.payments.outcomes import Outcome
from vending.payments.payment import Payment
from vending.payments.spool import Spool
from vending.postgres import pool
from vending.postgres.pool import Connection
from vending.postgres.writer import Writer
from vending.sequencer import SaleUnavailable

SECRET = "7f3c-0123456789abcdef"
METER = "14123456783"
METER_2 = "37009188428"
BLOCKED = "01234567897"
REMOVED = "07000000004"

SETTINGS: dict[str, Any] = {
    "server": {"port": 0, "request_seconds": 5, "drain_seconds": 5},
    "mpesa": {
        "secret": SECRET,
        "allowed_addresses": ["127.0.0.1"],
        # Test machines may be slow; the deadline is tested where it can never be met.
        "validation_milliseconds": 5_000,
    },
    "route": [
        {"short_code": "888880", "product": "prepaid"},
        {"short_code": "888888", "product": "postpaid"},
    ],
    "database": {"readers": 2},
    # Nor is the database quick on such a machine; the spool is tested where it is wanted.
    "intake": {"inbox_milliseconds": 3_000},
}


def settings(**sections: dict[str, Any]) -> Config:
    """Return the test settings with some of them replaced; None leaves one at its default."""
    merged = dict(SETTINGS)
    for name, section in sections.items():
        both = {**merged.get(name, {}), **section}
        merged[name] = {key: value for key, value in both.items() if value is not None}
    return msgspec.convert(merged, Config)


@dataclass(slots=True)
class Lease:
    """What the API sees of a sequencer."""

    running: bool = True
    waiting: int = 0
    estimated_wait: float = 0.0
    per_second: float = 2_000.0
    bumped: list[int] = field(default_factory=list)

    def bump(self, payment_id: int) -> None:
        """Note who was put first."""
        self.bumped.append(payment_id)

    async def sell(self, payment: Payment, **_terms: object) -> Outcome:
        """Refuse: sales are tested with the real sequencer."""
        raise SaleUnavailable(reference=payment.notice.transaction_id)

    async def bar(self, payment: Payment, **_how: object) -> Outcome:
        """Refuse: so are bars."""
        raise SaleUnavailable(reference=payment.notice.transaction_id)


class NoticingClock:
    """A clock that says when it was asked: a handler asks once it has a request whole."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.asked = asyncio.Event()

    def __call__(self) -> datetime:
        self.asked.set()
        return self._clock()


@dataclass(slots=True)
class Served:
    """A served API, and what a test wants to know of it."""

    doors: Doors
    listener: Listener
    session: aiohttp.ClientSession
    stored: "asyncio.Queue[Payment]"
    inbox: Inbox
    inbox_running: "asyncio.Task[None] | None"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.port}"

    def path(self, call: str, *, secret: str = SECRET, version: str = "v2") -> str:
        return f"{self.url}/op/saf/{secret}/{version}/{call}"

    async def post(
        self, call: str, body: object, *, headers: dict[str, str] | None = None, **path: str
    ) -> "Reply":
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.session.post(
            self.path(call, **path), data=data, headers=headers
        ) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, path: str) -> "Reply":
        async with self.session.get(self.url + path) as response:
            return Reply(response.status, response.headers, await response.read())

    def start_inbox(self) -> None:
        self.inbox_running = asyncio.create_task(self.inbox.run())


@dataclass(frozen=True, slots=True)
class Reply:
    """A response, read whole."""

    status: int
    headers: Any = field(repr=False)
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Serve = Callable[..., AbstractAsyncContextManager[Served]]


def _caller(source: str, heard: list[Heard]) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(local_addr=(source, 0), limit=0),
        trace_configs=[listening(heard)],
    )


def _intake(
    config: Config,
    writer: Writer,
    numbers: Numbers,
    kept: Spool,
    stored: "asyncio.Queue[Payment]",
    *,
    now: Clock,
) -> tuple[Inbox, Intake]:
    def on_stored(payments: Sequence[Payment]) -> None:
        for payment in payments:
            stored.put_nowait(payment)

    patience = config.intake.inbox_milliseconds / 1000
    inbox = Inbox(writer, numbers=numbers, on_stored=on_stored, patience=patience)
    return inbox, Intake(inbox, kept, clock=now, patience=patience)


@pytest.fixture(autouse=True)
def heard(request: pytest.FixtureRequest) -> Iterator[list[Heard]]:
    """Write down the refusals that a test reads, and hold it to those it is to produce."""
    written: list[Heard] = []
    yield written
    require_promised(request.node, written)


@pytest.fixture
def serve(database: Database, clock: SettableClock, tmp_path: Path, heard: list[Heard]) -> Serve:
    """Return what serves the API, with some settings changed, for the length of a block."""

    @asynccontextmanager
    async def serving(
        *,
        writer_dsn: str | None = None,
        readers_dsn: str | None = None,
        now: Clock = clock,
        inbox_runs: bool = True,
        sequencer: Lease | None = None,
        keys_loaded: bool = True,
        tariffs_loaded: bool = True,
        started: bool = True,
        waits_because: str | None = None,
        source: str = "127.0.0.1",
        spool_name: str | None = None,
        spool_bytes_max: int = 1_000_000,
        **sections: dict[str, Any],
    ) -> AsyncIterator[Served]:
        stored: asyncio.Queue[Payment] = asyncio.Queue()
        config = settings(**sections)
        numbers = Numbers(now, node=0)
        writer = Writer(writer_dsn or database.dsn, seconds=5.0)
        async with AsyncExitStack() as stack:
            readers = await stack.enter_async_context(
                pool.create(readers_dsn or database.dsn, size=config.database.readers)
            )
            spool_dir = tmp_path / (spool_name or secrets.token_hex(8))
            kept = await stack.enter_async_context(
                spool.opened(spool_dir, bytes_max=spool_bytes_max)
            )
            inbox, intake = _intake(config, writer, numbers, kept, stored, now=now)
            doors = Doors(
                config=config,
                clock=now,
                intake=intake,
                readers=readers,
                numbers=numbers,
                sequencer=sequencer or Lease(),
                keys_loaded=lambda: keys_loaded,
                tariffs_loaded=lambda: tariffs_loaded,
                started=lambda: started,
                waits_because=lambda: waits_because,
            )
            listening = await listener.listen(app.build(doors), config.server)
            session = await stack.enter_async_context(_caller(source, heard))
            served = Served(doors, listening, session, stored, inbox, None)
            if inbox_runs:
                served.start_inbox()
            replaying = asyncio.create_task(intake.run())
            try:
                yield served
            finally:
                await listening.close()
                await _drained(served, intake, replaying)
                writer.drop()

    return serving


async def _drained(served: Served, intake: Intake, replaying: "asyncio.Task[None]") -> None:
    intake.stop()
    served.inbox.stop()
    await asyncio.gather(replaying, *filter(None, [served.inbox_running]))


@pytest.fixture
async def api(serve: Serve) -> AsyncIterator[Served]:
    """Serve the API with the test settings."""
    async with serve() as served:
        yield served


@pytest.fixture
async def meters(db: Connection, clock: SettableClock) -> None:
    """Register two meters in service, a blocked one and a removed one."""
    standing: tuple[tuple[str, MeterStatus], ...] = (
        (METER, "active"), (METER_2, "active"), (BLOCKED, "blocked"), (REMOVED, "removed"),
    )  # fmt: skip
    for number, status in standing:
        meter = Meter(
            meter_number=number, sgc="123456", krn=1, key_type=2, ti=1, ea=7, tct=2, tid_base=93,
            ken=255, tariff="domestic", tariff_category="domestic", status=status, phones=(),
            language="en", region="",
        )  # fmt: skip
        await directory.register(db, meter, now=clock())


@pytest.fixture
async def dead_dsn() -> str:
    """Return an address where no PostgreSQL answers: connections are refused."""
    probe = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = probe.sockets[0].getsockname()[1]
    probe.close()
    await probe.wait_closed()
    return f"postgresql://stima_app@127.0.0.1:{port}/nothing"


@pytest.fixture
async def frozen_dsn() -> AsyncIterator[str]:
    """Yield an address where a PostgreSQL listens and never says a word."""
    held: list[asyncio.StreamWriter] = []

    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    yield f"postgresql://stima_app@127.0.0.1:{server.sockets[0].getsockname()[1]}/nothing"
    server.close()
    for writer in held:
        writer.transport.abort()
    await server.wait_closed()


def paid(**changes: Any) -> dict[str, Any]:
    """Return a callback body with some members changed; None leaves a member out."""
    members = {
        "TransactionType": "Pay Bill",
        "TransID": "TGE7Q2M4ZK",
        "TransTime": "20261122105900",
        "TransAmount": "500.00",
        "BusinessShortCode": "888880",
        "BillRefNumber": METER,
        "InvoiceNumber": "",
        "OrgAccountBalance": "",
        "ThirdPartyTransID": "",
        "MSISDN": "2547 ***** 149",
        "FirstName": "ACHIENG",
        "MiddleName": "",
        "LastName": "",
        **changes,
    }
    return {name: value for name, value in members.items() if value is not None}


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EventDict]]:
    """Yield the log lines of a test, which has the whole second's allowance still to spend."""
    monkeypatch.setattr(problems, "_lines", LineLimit())
    with capture_logs() as captured:
        yield captured
