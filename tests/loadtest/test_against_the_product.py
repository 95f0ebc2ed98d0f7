"""A load test from end to end: a real server, a real database, and what both sides then know."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from tests.api.v1.conftest import a_deposit, a_vendor
from tests.commands.demo_process import ran
from tests.conftest import SettableClock
from tests.journeys.world import World
from tests.simulation.listener import listening
from vending.client import ApiKey, AsyncClient, Refused
from vending.clock import system_clock
from vending.commands import demo_utility
from vending.loadtest import customers, drive, limits, report, verdict
from vending.loadtest import target as targets
from vending.loadtest.drive import TargetAway
from vending.loadtest.gun import Order
from vending.loadtest.run import CONFIRMS, Asked, Look, Run, Second
from vending.loadtest.scenarios import named
from vending.numbering import Numbers
from vending.postgres import pool
from vending.vendors.seals import Seals

COUNTS = ("unacknowledged", "undecided", "stored-beyond-sent", "quarantined")
"""Limits that are no times: a machine may be slow, a payment may not be lost."""


def order(url: str, secret: str, scenario: str, *, seconds: float = 3, scale: float = 0.3) -> Order:
    return Order(
        target=targets.parse(url, owned=False),
        secret=secret,
        short_code="888880",
        scenario=scenario,
        customers=customers.of_the_demo(),
        seconds=seconds,
        scale=scale,
        seed=11,
        connections=16,
        answer_seconds=30.0,
        started_at=system_clock(),
    )


async def played(
    one: Order,
    tell: drive.Told = lambda _news: None,
    *,
    limited: tuple[str, ...] = COUNTS,
) -> Run:
    asked = Asked(
        scenario=one.scenario,
        target=one.target.url,
        seed=one.seed,
        seconds=one.seconds,
        scale=one.scale,
        customers=len(one.customers),
        connections=one.connections,
        limits=dict.fromkeys(limited, 0.0),
    )
    return await drive.drive(one, asked, settle_seconds=30.0, tell=tell)


@pytest.mark.parametrize("scenario", ["panic-retries", "post-outage-flood"])
async def test_after_a_load_test_both_sides_know_the_same_payments(
    world: World, scenario: str
) -> None:
    news: list[Second | Look] = []
    secret = world.operator.line.secret
    run = await played(order(world.server.url, secret, scenario, scale=0.2), news.append)
    day = named(scenario)
    judged = limits.judge(run, day)
    assert [one.sentence() for one in judged if not one.holds] == []
    assert verdict.verdict(run, day, judged).passed
    stored = await world.value("select count(*) from payment where transaction_id like 'LT%'")
    assert stored == run.ended.payments > 20
    assert run.offered(*CONFIRMS) == sum(
        count
        for one in run.seconds
        for kind, counts in one.answered.items()
        if kind in CONFIRMS
        for count in counts.values()
    )
    assert run.ended.requests == sum(sum(one.offered.values()) for one in run.seconds)
    decided = await world.value("select count(*) from outcome")
    assert decided == stored
    assert await world.broken_promises() == []
    assert [one for one in news if isinstance(one, Second)] == run.seconds
    assert [one for one in news if isinstance(one, Look)] == run.looks
    assert secret not in report.page(run, day)
    assert secret.encode() not in msgspec.json.encode(run)


async def test_validations_that_are_refused_move_no_money(world: World) -> None:
    run = await played(order(world.server.url, world.operator.line.secret, "campaign-day"))
    assert run.ended.refused_at_check > 0
    assert run.ended.unacknowledged == 0
    refunds = await world.value("select count(*) from outcome where kind = 'refund_due'")
    assert refunds == 0


async def test_tills_sell_each_sale_once_and_the_page_shows_no_key(
    world: World, tmp_path: Path
) -> None:
    key = await a_vendor_with_money(world, tmp_path)
    one = order(world.server.url, key, "vendor-day", seconds=4, scale=0.4)
    run = await played(one, limited=("unacknowledged", "tokens-beyond-sold"))
    day = named("vendor-day")
    judged = limits.judge(run, day)
    assert [one.sentence() for one in judged if not one.holds] == []
    assert run.offered("check") > 20
    assert run.offered("repeat") > 0
    sold = await world.value("select count(*) from outcome where kind = 'token_issued'")
    # A machine that is busy may refuse some for now: that is said, and sells nothing.
    assert 20 < sold <= run.ended.payments
    assert await world.broken_promises() == []
    page = report.page(run, day)
    assert "Sales by the time they took" in page
    assert key not in page
    assert key.encode() not in msgspec.json.encode(run)


async def test_a_key_that_is_not_known_is_a_failed_test(world: World) -> None:
    one = order(world.server.url, "stima_live_a_b", "vendor-day", seconds=1, scale=1)
    run = await played(one)
    assert run.ended.unacknowledged == run.ended.payments > 0
    assert set(run.statuses()) == {"401"}


async def a_vendor_with_money(world: World, home: Path) -> str:
    """Take a vendor on that has a float, and return its key once the server knows it."""
    seals, clock = Seals(demo_utility.opened(home).secrets.vendors), SettableClock(system_clock())
    office = await pool.connect(world.base.dsn)
    try:
        issued = await a_vendor(office, "acme", seals=seals, clock=clock)
        await a_deposit(
            office, "acme", next_number=Numbers(clock, node=200).next, clock=clock,
            amount_minor=10**9,
        )  # fmt: skip
    finally:
        await office.close()
    async with AsyncClient(world.server.url, ApiKey(issued.secret)) as acme, asyncio.timeout(30):
        while True:
            try:
                await acme.read_float()
            except Refused:  # not known yet: the server looks every few seconds
                await asyncio.sleep(0.2)
            else:
                return issued.secret


async def test_a_wrong_secret_is_a_failed_test_and_not_an_error(world: World) -> None:
    run = await played(order(world.server.url, "wrong", "steady-day", seconds=1, scale=3))
    assert run.ended.unacknowledged == run.ended.payments > 0
    assert set(run.statuses()) == {"404"}


async def test_a_target_without_metrics_is_loaded_all_the_same() -> None:
    async with listening() as listener:
        run = await played(order(listener.url, "s", "steady-day", seconds=1, scale=3))
    assert run.ended.unacknowledged == 0
    assert run.answered_looks
    day = named("steady-day")
    assert "this could not be measured" in verdict.verdict(run, day, limits.judge(run, day)).text


async def test_a_target_that_is_away_is_told_at_once() -> None:
    async with listening() as listener:
        url = listener.url
    with pytest.raises(TargetAway):
        await played(order(url, "s", "steady-day"))


async def test_an_order_does_not_show_its_secret() -> None:
    assert "hush" not in repr(order("http://127.0.0.1:1", "hush", "steady-day"))


async def test_the_command_judges_reports_and_ends_with_its_verdict(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_SECRET", world.operator.line.secret)
    page, stored = tmp_path / "deep" / "page.html", tmp_path / "run.json"
    options = ["--target", world.server.url, "--secret", "THE_SECRET", "--home", str(tmp_path)]
    times = [f"--limit={name}=off" for name in named("steady-day").limits if name not in COUNTS]
    code, told = await ran(
        "loadtest", "steady-day", *options, *times, "--duration", "2", "--rate-scale", "2",
        "--report", page, "--store", stored,
    )  # fmt: skip
    assert code == 0, told
    assert "Passed. A steady day:" in told
    assert "µs each" in told
    assert "All 4 limits hold." in page.read_text(encoding="utf-8")
    again = tmp_path / "again.html"
    code, told = await ran("loadtest", "render", stored, "--report", again)
    assert code == 0, told
    assert again.read_text(encoding="utf-8") == page.read_text(encoding="utf-8")
    code, told = await ran("top", "--target", world.server.url, "--once")
    assert code == 0, told
    assert "oldest undelivered" in told
    assert "owner" in told


async def test_a_failed_limit_is_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_SECRET", "s")
    async with listening() as listener:
        code, told = await ran(
            "loadtest", "steady-day", "--target", listener.url, "--secret", "THE_SECRET",
            "--duration", "1", "--report", tmp_path / "page.html",
        )  # fmt: skip
    assert code == 1
    assert "FAILS" in told
    assert "this could not be measured" in told
