"""`make bench`: measure everything in one run, check the books, and write down what was found.

Writes latest.json for machines and latest.html for people into benchmarks/results. Ends with 1
when the books do not balance, or, with --check, when a figure misses its bound.
"""

import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Annotated

import cyclopts
import msgspec
import uvloop
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from benchmarks import (
    backlog,
    books,
    cluster,
    core_rates,
    machine,
    plan,
    processors,
    report,
    surges,
    volumes,
)
from benchmarks import rounds as saturation
from benchmarks.cluster import Cluster
from benchmarks.goals import Result
from benchmarks.plan import Plan
from benchmarks.rounds import Bench
from benchmarks.site import TEMPLATE, Server, Site

RESULTS = Path(__file__).with_name("results")
SOAK_SECONDS_MIN = 600

console = Console(highlight=False)


def bench(
    *,
    quick: Annotated[
        bool, Parameter(help="The key ratios only, in a minute and a half.", negative="")
    ] = False,
    full: Annotated[
        bool, Parameter(help="7.4 M meters, 10 M past vends, a long soak.", negative="")
    ] = False,
    check: Annotated[
        bool, Parameter(help="Fail when a figure misses its bound.", negative="")
    ] = False,
    results: Annotated[Path, Parameter(help="Where the results are written.")] = RESULTS,
    scratch: Annotated[Path, Parameter(help="Where the databases live meanwhile.")] = Path("/tmp"),
) -> None:
    """Measure the server against pgbench and an empty aiohttp, on this machine, in one run."""
    chosen = plan.QUICK if quick else plan.FULL if full else plan.WHOLE
    with tempfile.TemporaryDirectory(prefix="stima-bench-", dir=scratch) as name:
        directory = Path(name)
        directory.chmod(0o755)
        result = uvloop.run(_run(directory, chosen))
    results.mkdir(parents=True, exist_ok=True)
    written = msgspec.json.format(msgspec.json.encode(result))
    (results / "latest.json").write_bytes(written + b"\n")
    (results / "latest.html").write_text(report.page(result), encoding="utf-8")
    _show(result)
    console.print(f"written: {results / 'latest.json'} and latest.html", soft_wrap=True)
    if not result.sound or (check and not result.musts_met):
        sys.exit(1)


async def _run(directory: Path, chosen: Plan) -> Result:
    began = time.monotonic()
    now = datetime.now(UTC)
    result = Result(made_at=now.isoformat(), command=f"python -m benchmarks ({chosen.name})")
    _say("building the cluster, the meters and TPC-B")
    async with cluster.running(directory) as postgres:
        result.machine = machine.facts(postgres, directory)
        site = Site(directory, postgres)
        await _furnish(site, postgres, chosen)
        await _saturated(site, result, chosen)
        if chosen.backlog:
            await _drained(site, result, chosen)
        await _volumes(site, result, chosen)
    if chosen.core:
        _say("the core by itself")
        await core_rates.measure(result)
    result.complete()
    result.seconds = time.monotonic() - began
    return result


async def _furnish(site: Site, postgres: Cluster, chosen: Plan) -> None:
    await site.furnish()
    await postgres.fill_tpcb()
    wanted = ["vend", "ack"] + ["drain"] * bool(chosen.backlog) + ["fresh"] * bool(chosen.vends)
    for database in wanted:
        await postgres.make(database, template=TEMPLATE)


async def _saturated(site: Site, result: Result, chosen: Plan) -> None:
    """Run the rounds, and on the same warm server what goes past the ordinary."""
    async with (
        site.server("vend") as vending,
        site.server("ack", with_keys=False) as paused,
        site.echo() as echo,
    ):
        bench = Bench(
            site=site, vending=vending, paused=paused, echo=echo, seconds=chosen.seconds, say=_say
        )
        found = await saturation.rounds(bench, chosen.rounds)
        saturation.judge(result, found)
        result.notes.append(
            f"{bench.repeated} rounds were repeated because of other programs. In the rounds, the "
            "server that vends stands still while TPC-B, echo and the paused lane are measured, so "
            "that sending the messages of the round before is on nobody else's account. "
            "PostgreSQL's own statistics were refreshed once after warming up."
        )
        _say("the surge")
        await surges.surge(site, vending, result, calm=chosen.surge_calm, high=chosen.surge_high)
        _say("the overload")
        capacity = median(one.rates["sale"].per_second for one in found)
        await surges.overload(
            site, vending, result, capacity=capacity, seconds=chosen.overload_seconds
        )
        await surges.slow_disk(
            site, vending, result, rounds=chosen.slow_rounds, seconds=chosen.seconds, say=_say
        )
        await _memory(site, vending, result, chosen)
        result.books += await books.check(site, vending)
        # While its lane waits: what it holds is undecided, and acknowledged all the same.
        result.books += await books.check(site, paused, vends=False)
        result.books.append(await books.audit(vending))


async def _memory(site: Site, server: Server, result: Result, chosen: Plan) -> None:
    counts = (await site.cluster.fetch(books.COUNTS, database=server.database))[0]
    megabytes = processors.resident_mb(server.pid)
    result.set("rss_mb", megabytes, note=f"after {counts['outcomes']:,} vends")
    if chosen.soak_seconds < SOAK_SECONDS_MIN:
        reason = f"needs {SOAK_SECONDS_MIN} s at 300/s or more: run with --full"
        result.set("rss_growth_mb_per_hour", reason=reason)
        return
    _say(f"{chosen.soak_seconds:.0f} s at 300/s")
    points = await surges.soak(site, server, seconds=chosen.soak_seconds)
    settled = points[len(points) // 3 :]
    note = f"slope over the last two thirds of {chosen.soak_seconds:.0f} s"
    result.set("rss_growth_mb_per_hour", surges.slope_per_hour(settled), note=note)


async def _drained(site: Site, result: Result, chosen: Plan) -> None:
    _say("the drain")
    server = await backlog.drain(
        site, result, count=chosen.backlog, calm=chosen.surge_calm, say=_say
    )
    drained = result.details.get("drain")
    if drained and drained["memory_mb"]:
        figure = result.figures["rss_mb"]
        note = f"after {drained['vends']:,} vends in the drain; {figure.value:.0f} MB {figure.note}"
        result.set("rss_mb", max(drained["memory_mb"], figure.value or 0.0), note=note)
    result.books += await books.check(site, server)
    result.books.append(await books.audit(server))


async def _volumes(site: Site, result: Result, chosen: Plan) -> None:
    if chosen.meters:
        _say(f"importing {chosen.meters:,} meters")
        numbers = await volumes.import_rate(site, result, meters=chosen.meters)
        await volumes.lay_history(site, meters=chosen.meters, vends=chosen.vends, say=_say)
        _say("growth")
        await volumes.growth(
            site, result, numbers=numbers, vends=chosen.vends, rounds=chosen.growth_rounds,
            seconds=chosen.growth_seconds,
        )  # fmt: skip
        result.notes.append(
            f"Growth was measured with {chosen.meters:,} meters and {chosen.vends:,} past vends."
        )
    if chosen.campaign:
        _say("a key-change campaign")
        await volumes.key_changes(site, result, meters=chosen.campaign)


def _say(text: str) -> None:
    console.print(f"[dim]{datetime.now(UTC):%H:%M:%S}[/dim] {text}", soft_wrap=True)


def _show(result: Result) -> None:
    """Print the figures: a table for a terminal, a line each for a pipe."""
    table = Table("figure", "measured", "must", "aim", "verdict", title="Stima: how fast it is")
    for one in result.figures.values():
        cells = (
            one.key,
            report.shown(one, one.value),
            report.bound(one, one.must),
            report.bound(one, one.aim),
            report.judgement(one),
        )
        table.add_row(*cells)
        if not console.is_terminal:
            told = f"{cells[0]:<24}{cells[1]:>16}{cells[2]:>18}{cells[3]:>18}  {cells[4]:<13}"
            console.print(f"{told}{one.note or one.reason}", soft_wrap=True, markup=False)
    if console.is_terminal:
        console.print(table)
    for says, holds, told in result.books:
        verdict = "holds " if holds else "BROKEN"
        console.print(f"{verdict} {says}: {told}", soft_wrap=True, markup=False)


if __name__ == "__main__":
    cyclopts.run(bench)
