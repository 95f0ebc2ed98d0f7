"""A server that is started while PostgreSQL is away: its door opens, and money waits in the spool.

Real processes: the server is killed while it waits, and PostgreSQL comes back behind its back.
"""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import aiohttp
import asyncpg
import pytest

from tests.commands.demo_process import DemoProcess, served
from tests.commands.offices import health, url_of
from tests.database import Database
from tests.journeys.outages import Postgres
from tests.processes import family
from tests.torture import ground as grounds
from tests.torture.ground import SECRET, Ground
from vending.audit import auditor
from vending.audit.rule import Terms
from vending.clock import system_clock
from vending.payments.segment import SUFFIX
from vending.postgres import embedded
from vending.postgres.embedded import EmbeddedSettings
from vending.simulation.history import History, acknowledged
from vending.simulation.operator import Line, Operator
from vending.simulation.pay_bill import CustomerPayment

SECONDS_MAX = 90
PAID_WHILE_WAITING, PAID_AFTER_THE_KILL = 1_000, 50

SALES = """
[sales]
secret = "a-secret-of-the-tills"
allowed_addresses = ["127.0.0.1"]
"""

CALLBACKS = """
[sms]
callback_secret = "callback-0123456789"
callback_addresses = ["127.0.0.1"]
"""

OUTCOMES = "select transaction_id, kind from payment left join outcome using (payment_id)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A furnished utility whose PostgreSQL is not running, and the operator that calls it."""

    ground: Ground
    operator: Operator

    def taken(self, count: int) -> list[CustomerPayment]:
        homes = self.ground.homes
        return [
            self.operator.take(homes[number % len(homes)].meter_number, 500_00)
            for number in range(count)
        ]

    @asynccontextmanager
    async def serving(self, *options: str) -> AsyncIterator[tuple[DemoProcess, str]]:
        """Start the server, and let the operator call it once it listens."""
        ground = self.ground
        async with served(ground.settings, ground.environment, *options) as running:
            url = await url_of(running)
            self.operator.line = replace(self.operator.line, base_url=url)
            yield running, url

    @property
    def spooled(self) -> int:
        spool = self.ground.home / "spool"
        return sum(path.stat().st_size for path in spool.glob(f"*{SUFFIX}"))

    async def judged(self) -> None:
        """Wait until everything acknowledged has its one outcome; then every promise holds."""
        sure = sorted(set(acknowledged(self.operator.history.events())))
        db = await asyncpg.connect(self.ground.dsn)
        try:
            async with asyncio.timeout(SECONDS_MAX):
                while True:
                    rows = await db.fetch(OUTCOMES)
                    if not self.spooled and all(row["kind"] for row in rows):
                        break
                    await asyncio.sleep(0.05)
            assert sorted(row["transaction_id"] for row in rows) == sure
            terms = Terms(
                decided_before=system_clock(),
                paid_at_future=timedelta(seconds=300),
                paid_at_past=timedelta(days=30),
            )
            assert [one async for one in auditor.examine(db, terms) if not one.holds] == []
        finally:
            await db.close()


def postgres_of(ground: Ground) -> EmbeddedSettings:
    return EmbeddedSettings(data_dir=ground.data_dir, shared_buffers_mb=32)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        ground = stack.enter_context(grounds.staked())
        text = ground.settings.read_text().replace(f"port = {ground.port}", "port = 0")
        text = text.replace('level = "warning"', 'level = "info"').replace("[sms]", CALLBACKS)
        ground.settings.write_text(text + SALES)
        await grounds.furnish(ground)
        history = stack.enter_context(History(ground.home / "operator.jsonl"))
        line = Line(base_url="", secret=SECRET, validates=False)
        operator = await stack.enter_async_context(
            Operator(line, history=history, clock=system_clock, randomness=random.Random(2026))
        )
        yield Scene(ground=ground, operator=operator)


@pytest.fixture
async def apart(scene: Scene) -> Scene:
    """Let the server find the same PostgreSQL by its address: somebody else runs it."""
    place = await embedded.located(postgres_of(scene.ground))
    dsn = f'dsn = "{scene.ground.dsn}"\nowner_dsn = "{place.dsn}"'
    text = scene.ground.settings.read_text()
    text = text.replace(f'data_dir = "{scene.ground.data_dir}"', dsn)
    scene.ground.settings.write_text(text.replace("shared_buffers_mb = 32\n", ""))
    return scene


async def metric(url: str, name: str) -> float:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
        text = await answer.text()
    return next(float(one.split()[1]) for one in text.splitlines() if one.startswith(f"{name} "))


async def all_are_acknowledged(operator: Operator, payments: list[CustomerPayment]) -> None:
    """Confirm them, many at a time, each within the seconds an operator listens."""
    answers = await asyncio.gather(*map(operator.confirm, payments))
    assert [answer for answer in answers if not answer.ok] == []


async def it_waits_and_says_so(scene: Scene, url: str) -> None:
    """See what each caller is told while the server waits."""
    status, ready = await health(url)
    assert status == 503
    assert ready["waits_because"] in {"database_unavailable", "database_starting"}
    while (await health(url))[1]["keys"] != "loaded":  # unsealing them takes a second
        await asyncio.sleep(0.05)
    assert await metric(url, "stima_waiting_for_database") == 1
    meter = scene.ground.homes[0].meter_number
    checked = await scene.operator.check(scene.operator.take(meter, 100_00))
    assert checked.ok  # by the policy: on the check digit alone
    headers = {"Authorization": "Bearer a-secret-of-the-tills"}
    sale = {"reference": "till-1", "meter": meter, "amount_minor": 100_00}
    report = {"id": "ATXid_1", "status": "Success"}
    dialled = {"sessionId": "1", "phoneNumber": scene.ground.homes[0].phones[0], "text": "1"}
    async with aiohttp.ClientSession(url) as session:
        async with session.post("/internal/sales", json=sale, headers=headers) as answer:
            assert (answer.status, "Retry-After" in answer.headers) == (503, True)
        for path, form, told in (
            ("/sms/callback-0123456789/report", report, 503),
            ("/ussd/callback-0123456789", dialled, 200),
        ):
            async with session.post(path, data=form) as answer:
                assert answer.status == told, await answer.text()


@pytest.mark.parametrize(("how", "workers"), [("stopped", 0), ("frozen", 0), ("frozen", 2)])
async def test_money_is_taken_in_before_the_database_is_there_and_vended_once(
    apart: Scene, how: str, workers: int
) -> None:
    scene, options = apart, ("--workers", str(workers))
    async with asyncio.timeout(3 * SECONDS_MAX), AsyncExitStack() as stack:
        postgres: Postgres | None = None
        if how == "frozen":
            dsn = await stack.enter_async_context(embedded.running(postgres_of(scene.ground)))
            postgres = Postgres(scene.ground.data_dir, Database(dsn, dsn))
            postgres.tell(signal.SIGSTOP)
            stack.callback(postgres.tell, signal.SIGCONT)
        async with scene.serving(*options) as (running, url):
            await it_waits_and_says_so(scene, url)
            await all_are_acknowledged(scene.operator, scene.taken(PAID_WHILE_WAITING))
            assert scene.spooled > 0
            members = family(running.process.pid)
            os.kill(running.process.pid, signal.SIGKILL)
            await running.process.wait()
            while any(map(family, members)):
                await asyncio.sleep(0.02)
        async with scene.serving(*options) as (running, url):
            await all_are_acknowledged(scene.operator, scene.taken(PAID_AFTER_THE_KILL))
            paying = asyncio.create_task(_pays_on(scene))
            if postgres is None:
                await stack.enter_async_context(embedded.running(postgres_of(scene.ground)))
            else:
                postgres.tell(signal.SIGCONT)
            await running.line("the database is there")
            assert await _is_ready(url)
            paying.cancel()
            answers = await paying
            assert answers
            assert all(answers)
            await scene.judged()
            assert await metric(url, "stima_waiting_for_database") == 0
            assert await running.interrupt() == (0, [])


async def _pays_on(scene: Scene) -> list[bool]:
    """Confirm one payment after the other on kept connections until cancelled; return the yeses."""
    answers: list[bool] = []
    ended = asyncio.Event()

    async def pay() -> None:
        while not ended.is_set():
            (payment,) = scene.taken(1)
            answers.append((await scene.operator.confirm(payment)).ok)

    tellers = asyncio.gather(*(pay() for _ in range(4)))
    try:
        await asyncio.shield(tellers)
    except asyncio.CancelledError:
        ended.set()
        await tellers
    return answers


async def _is_ready(url: str) -> bool:
    async with asyncio.timeout(SECONDS_MAX):
        while (await health(url))[0] != 200:
            await asyncio.sleep(0.05)
    return True


async def test_an_embedded_postgresql_that_does_not_start_is_waited_for(scene: Scene) -> None:
    spoiled = scene.ground.data_dir / "postgresql.auto.conf"
    text = spoiled.read_text()
    spoiled.write_text(text + "shared_buffers = 'nonsense'\n")
    async with asyncio.timeout(SECONDS_MAX), scene.serving() as (running, url):
        status, ready = await health(url)
        assert (status, ready["waits_because"]) == (503, "postgres_did_not_start")
        await all_are_acknowledged(scene.operator, scene.taken(20))
        spoiled.write_text(text)
        await running.line("the database is there")
        await scene.judged()
        assert await running.interrupt() == (0, [])


async def test_fronts_of_an_embedded_postgresql_read_from_it(scene: Scene) -> None:
    text = scene.ground.settings.read_text()
    patient = "[mpesa]\nvalidation_milliseconds = 5000"
    scene.ground.settings.write_text(text.replace("[mpesa]", patient))
    async with asyncio.timeout(SECONDS_MAX), scene.serving("--workers", "1") as (_running, url):
        assert await _is_ready(url)
        known, unknown = scene.ground.homes[0].meter_number, "01000000008"
        for meter, found in ((known, True), (unknown, False)):
            checked = await scene.operator.check(scene.operator.take(meter, 100_00))
            assert checked.ok is found
        await all_are_acknowledged(scene.operator, scene.taken(5))
        await scene.judged()


async def test_a_server_that_waits_stops_when_asked_and_the_spool_keeps_what_it_took(
    apart: Scene,
) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        async with apart.serving() as (running, _url):
            await all_are_acknowledged(apart.operator, apart.taken(20))
            assert await running.interrupt() == (0, [])
        assert apart.spooled > 0
        async with embedded.running(postgres_of(apart.ground)), apart.serving() as (running, _url):
            await apart.judged()


async def test_what_waiting_cannot_mend_ends_a_server_that_waited(apart: Scene) -> None:
    text = apart.ground.settings.read_text()
    apart.ground.settings.write_text(text.replace("/stima?host", "/postgres?host"))
    async with asyncio.timeout(SECONDS_MAX), apart.serving() as (running, _url):
        await all_are_acknowledged(apart.operator, apart.taken(1))
        async with embedded.running(postgres_of(apart.ground)):
            await running.line("schema_older")
            assert await running.process.wait() == 1
    assert apart.spooled > 0


async def test_two_servers_that_waited_on_one_database_vend_everything_once(apart: Scene) -> None:
    home = apart.ground.home
    second = home / "second.toml"
    text = apart.ground.settings.read_text().replace("port = 0", "port = 0\nnode = 1")
    second.write_text(text.replace("/spool", "/spool-of-the-second"))
    async with (
        asyncio.timeout(2 * SECONDS_MAX),
        apart.serving() as (running, url),
        served(second, apart.ground.environment) as other,
    ):
        for address in (await url_of(other), url):
            apart.operator.line = replace(apart.operator.line, base_url=address)
            await all_are_acknowledged(apart.operator, apart.taken(50))
        async with embedded.running(postgres_of(apart.ground)):
            for one in (running, other):
                await one.line("the database is there")
            while list(home.glob(f"spool*/*{SUFFIX}")):
                await asyncio.sleep(0.05)
            await apart.judged()
