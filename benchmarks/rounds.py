"""The rates at saturation, in interleaved rounds: TPC-B, an empty request, a sale, a callback.

Each round runs them all, one after the other and a few seconds each, and the ratios are taken
within the round: what slows this machine for a minute slows both sides.
"""

import asyncio
import os
import signal
from dataclasses import dataclass
from functools import partial
from statistics import median

import msgspec

from benchmarks import committed
from benchmarks.goals import Result, percentile, ratios
from benchmarks.processors import Spent
from benchmarks.quiet import Quiet, spent_in
from benchmarks.site import Fire, Server, Site

SALE_CONNECTIONS = 1_024
CALLBACK_CONNECTIONS = 512
ECHO_CONNECTIONS = 64
SETTLE_SECONDS = 0.3

COLLECT_SECONDS = 0.5
"""pgbench's backends are counted once PostgreSQL has collected them."""


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement of one thing in one round: how many a second, at which cost each."""

    what: str
    per_second: float
    micros: float
    micros_of: dict[str, float]
    generator_micros: float
    p50_ms: float
    p99_ms: float
    connections: int
    errors: int


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One round: the rates by what was done, and how many cores strangers kept busy at worst."""

    rates: dict[str, Rate]
    strange_cores: float


@dataclass(slots=True, kw_only=True)
class Bench:
    """What a round needs: the site, its servers, and whoever listens for strangers."""

    site: Site
    vending: Server
    paused: Server
    echo: Server
    seconds: float
    quiet: Quiet

    @property
    def roots(self) -> dict[str, int]:
        """Return the first process of each tree."""
        return {
            "vending": self.vending.pid,
            "paused": self.paused.pid,
            "echo": self.echo.pid,
            "postgres": self.site.cluster.pid,
        }


async def warm(bench: Bench) -> None:
    """Warm every server up, and have PostgreSQL look at its tables."""
    for server, kind in ((bench.vending, "sale"), (bench.vending, "confirm"),
                         (bench.paused, "confirm"), (bench.echo, "echo")):  # fmt: skip
        fire = await bench.site.fire(server, kind, connections=64, seconds=1.0)
        if server is bench.vending and kind == "confirm":
            await committed.settled(bench.site.cluster, server.database, fire.prefix)
    for server in (bench.vending, bench.paused):
        # What PostgreSQL's autovacuum does within a minute of real life: tables that were empty
        # when their plans were made have rows by now.
        await bench.site.cluster.execute("analyze", database=server.database)


async def rounds(bench: Bench, count: int) -> list[Round]:
    """Return so many undisturbed rounds (or the best that could be had)."""
    found = []
    for number in range(1, count + 1):
        one = await bench.quiet.measure(f"round {number}", partial(_round, bench))
        found.append(one)
        told = (f"{rate.what} {rate.per_second:,.0f}/s" for rate in one.rates.values())
        bench.quiet.say(f"round {number} of {count}: {', '.join(told)}")
    return found


async def _round(bench: Bench) -> tuple[Round, Spent]:
    worst: Spent | None = None
    rates = {}
    for what in (_tpcb, _echo, _ack, _sale, _callback):
        alone = what in (_tpcb, _echo, _ack)
        if alone:
            # It would still be sending the messages of the round before.
            os.kill(bench.vending.pid, signal.SIGSTOP)
        try:
            rate, spent = await what(bench)
        finally:
            if alone:
                os.kill(bench.vending.pid, signal.SIGCONT)
        if alone:
            await asyncio.sleep(SETTLE_SECONDS)
        rates[rate.what] = rate
        if worst is None or spent.strange_cores > worst.strange_cores:
            worst = spent
    if worst is None:
        raise AssertionError
    return Round(rates=rates, strange_cores=worst.strange_cores), worst


async def _tpcb(bench: Bench) -> tuple[Rate, Spent]:
    async def run() -> float:
        tps = await bench.site.cluster.tpcb(bench.seconds)
        await asyncio.sleep(COLLECT_SECONDS)
        return tps

    tps, spent = await spent_in(bench.roots, run())
    micros = spent.trees["postgres"] / (tps * bench.seconds) * 1e6
    rate = Rate(
        what="tpcb", per_second=tps, micros=micros, micros_of={"postgres": micros},
        generator_micros=0, p50_ms=0, p99_ms=0, connections=16, errors=0,
    )  # fmt: skip
    return rate, spent


async def _echo(bench: Bench) -> tuple[Rate, Spent]:
    fire, spent = await spent_in(
        bench.roots,
        bench.site.fire(bench.echo, "echo", connections=ECHO_CONNECTIONS, seconds=bench.seconds),
    )
    return _rate("echo", fire, fire.fired.seconds, spent, ("echo",), ECHO_CONNECTIONS), spent


async def _sale(bench: Bench) -> tuple[Rate, Spent]:
    fire, spent = await spent_in(
        bench.roots,
        bench.site.fire(bench.vending, "sale", connections=SALE_CONNECTIONS, seconds=bench.seconds),
    )
    trees = ("vending", "postgres")
    return _rate("sale", fire, fire.fired.seconds, spent, trees, SALE_CONNECTIONS), spent


async def _callback(bench: Bench) -> tuple[Rate, Spent]:
    """Count a callback only when its token is committed: the clock runs until the last one is."""
    site, server = bench.site, bench.vending

    async def run() -> Fire:
        fire = await site.fire(
            server, "confirm", connections=CALLBACK_CONNECTIONS, seconds=bench.seconds
        )
        await committed.settled(site.cluster, server.database, fire.prefix)
        return fire

    fire, spent = await spent_in(bench.roots, run())
    done = await committed.stamps(site.cluster, server.database, fire.prefix)
    seconds = max(done.values()) - fire.fired.began if done else fire.fired.seconds
    seconds = max(seconds, fire.fired.seconds)
    trees = ("vending", "postgres")
    return _rate("callback", fire, seconds, spent, trees, CALLBACK_CONNECTIONS), spent


async def _ack(bench: Bench) -> tuple[Rate, Spent]:
    fire, spent = await spent_in(
        bench.roots,
        bench.site.fire(
            bench.paused, "confirm", connections=CALLBACK_CONNECTIONS, seconds=bench.seconds
        ),
    )
    trees = ("paused", "postgres")
    return _rate("ack", fire, fire.fired.seconds, spent, trees, CALLBACK_CONNECTIONS), spent


def _rate(
    what: str, fire: Fire, seconds: float, spent: Spent, trees: tuple[str, ...], connections: int
) -> Rate:
    done = max(1, fire.answered)
    ordered = sorted(fire.fired.columns()[1])
    return Rate(
        what=what,
        per_second=done / seconds,
        micros=spent.total(trees) / done * 1e6,
        micros_of={name: spent.trees[name] / done * 1e6 for name in trees},
        generator_micros=fire.fired.cpu_seconds / done * 1e6,
        p50_ms=percentile(ordered, 0.5) * 1e3,
        p99_ms=percentile(ordered, 0.99) * 1e3,
        connections=connections,
        errors=len(ordered) - fire.answered,
    )


def judge(result: Result, found: list[Round], *, told: str) -> None:
    """Set the figures that are ratios of these rounds; `told` is what to add of strangers."""
    per = {what: [one.rates[what].per_second for one in found] for what in found[0].rates}
    micros = {what: [one.rates[what].micros for one in found] for what in found[0].rates}

    def offered(what: str) -> str:
        one = found[0].rates[what]
        return f"{median(per[what]):,.0f}/s on {one.connections} connections, closed loop"

    tpcb = f"TPC-B {median(per['tpcb']):,.0f}/s"
    result.set(
        "vend_over_tpcb", rounds=ratios(per["sale"], per["tpcb"]),
        note=f"{offered('sale')}; {tpcb}{told}",
    )  # fmt: skip
    result.set(
        "callback_over_tpcb", rounds=ratios(per["callback"], per["tpcb"]),
        note=f"{offered('callback')}; {tpcb}{told}",
    )  # fmt: skip
    result.set(
        "cpu_vend_over_echo", rounds=ratios(micros["sale"], micros["echo"]),
        note=f"{median(micros['sale']):.0f} us at {offered('sale')}; "
        f"echo {median(micros['echo']):.0f} us at {offered('echo')}{told}",
    )  # fmt: skip
    result.set(
        "ack_over_echo", rounds=ratios(per["ack"], per["echo"]),
        note=f"{offered('ack')}; echo {median(per['echo']):,.0f}/s{told}",
    )  # fmt: skip
    result.details["rounds"] = msgspec.to_builtins(found)
