"""`make bench`: measure everything in one run, check the books, and write down what was found.

Writes latest.json for machines and latest.html for people into benchmarks/results. Ends with 1
when the books do not balance, or, with --check, when a figure misses its bound.
"""

import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
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
    campaign,
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
from benchmarks.history import Past
from benchmarks.plan import ON_A_DIRECTORY, ON_THE_WARM_SERVER, PARTS, Part, Plan, Sizes
from benchmarks.quiet import Quiet
from benchmarks.rounds import Bench
from benchmarks.site import TEMPLATE, Server, Site

RESULTS = Path(__file__).with_name("results")
SOAK_SECONDS_MIN = 600
AS_PLANNED = Sizes()

console = Console(highlight=False)


def bench(
    *,
    quick: Annotated[
        bool, Parameter(help="Reduced sizes and no soak: about seven minutes.", negative="")
    ] = False,
    full: Annotated[
        bool, Parameter(help="More rounds and an hour's soak: about two hours.", negative="")
    ] = False,
    only: Annotated[
        list[Part] | None,
        Parameter(
            help="Measure this part alone (may be given more than once); writes only.json.",
            negative="",
        ),
    ] = None,
    sizes: Annotated[Sizes, Parameter(name="*")] = AS_PLANNED,
    check: Annotated[
        bool, Parameter(help="Fail when a figure misses its bound.", negative="")
    ] = False,
    results: Annotated[Path, Parameter(help="Where the results are written.")] = RESULTS,
    scratch: Annotated[
        Path, Parameter(help="Where the databases live meanwhile; needs 60 GB, --quick 8 GB.")
    ] = Path("/tmp"),
) -> None:
    """Measure the server against pgbench and an empty aiohttp, on this machine, in one run.

    Without options it measures everything at the sizes that the goals name, in about 25 minutes
    on two cores. Everything is made in a directory of its own under --scratch and removed again.
    """
    chosen = plan.QUICK if quick else plan.FULL if full else plan.WHOLE
    if only:
        chosen = chosen.only(only)
    chosen = chosen.sized(sizes)
    with tempfile.TemporaryDirectory(prefix="stima-bench-", dir=scratch) as name:
        directory = Path(name)
        directory.chmod(0o755)
        result = uvloop.run(heeding_terminate(_run(directory, chosen)))
    results.mkdir(parents=True, exist_ok=True)
    kept = results / ("only" if only else "latest")
    written = msgspec.json.format(msgspec.json.encode(result))
    kept.with_suffix(".json").write_bytes(written + b"\n")
    kept.with_suffix(".html").write_text(report.page(result), encoding="utf-8")
    _show(result)
    console.print(f"written: {kept.with_suffix('.json')} and {kept.name}.html", soft_wrap=True)
    if not result.sound or (check and not result.musts_met):
        sys.exit(1)


async def heeding_terminate(run: Coroutine[object, object, Result]) -> Result:
    """Let a run that is told to end stop its servers and remove what it made, as Ctrl-C does."""
    task = asyncio.ensure_future(run)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise SystemExit(128 + signal.SIGTERM) from None


async def _run(directory: Path, chosen: Plan) -> Result:
    began = time.monotonic()
    now = datetime.now(UTC)
    said = " ".join((chosen.name, *(chosen.parts if len(chosen.parts) < len(PARTS) - 1 else ())))
    result = Result(made_at=now.isoformat(), command=f"python -m benchmarks ({said})")
    if chosen.reduced:
        result.notes.append(chosen.reduced)
    quiet = Quiet(_say)
    _say("building the cluster, the meters and TPC-B")
    async with cluster.running(directory) as postgres:
        result.machine = machine.facts(postgres, directory)
        site = Site(directory, postgres)
        await _furnish(site, postgres, chosen)
        if chosen.has(*ON_THE_WARM_SERVER):
            await _saturated(site, result, chosen, quiet)
        if chosen.has("drain"):
            await _drained(site, result, chosen, quiet)
        if chosen.has(*ON_A_DIRECTORY):
            await _volumes(site, result, chosen, quiet)
    if chosen.has("core"):
        _say("the core by itself")
        await core_rates.measure(result, quiet=quiet)
    result.details["quiet"] = msgspec.to_builtins(quiet.stretches)
    result.complete()
    result.seconds = time.monotonic() - began
    return result


async def _furnish(site: Site, postgres: Cluster, chosen: Plan) -> None:
    """Make the databases that the chosen parts need."""
    if chosen.parts == ("core",):
        return
    await site.furnish()
    if chosen.has("rounds"):
        await postgres.fill_tpcb()
    databases = [("vend", ON_THE_WARM_SERVER), ("ack", ON_THE_WARM_SERVER),
                 (backlog.DATABASE, ("drain",)), ("fresh", ("growth",))]  # fmt: skip
    for database, parts in databases:
        if chosen.has(*parts):
            await postgres.make(database, template=TEMPLATE)


async def _saturated(site: Site, result: Result, chosen: Plan, quiet: Quiet) -> None:
    """Run the rounds, and on the same warm server what goes past the ordinary."""
    async with (
        site.server("vend") as vending,
        site.server("ack", with_keys=False) as paused,
        site.echo() as echo,
    ):
        bench = Bench(
            site=site, vending=vending, paused=paused, echo=echo, seconds=chosen.seconds,
            quiet=quiet,
        )  # fmt: skip
        await saturation.warm(bench)
        if chosen.has("rounds"):
            found = await saturation.rounds(bench, chosen.rounds)
            saturation.judge(result, found, told=quiet.told("round"))
        if chosen.has("surge"):
            _say("the surge")
            await surges.surge(
                site, vending, result, calm=chosen.surge_calm, high=chosen.surge_high, quiet=quiet
            )
        if chosen.has("overload"):
            _say("the overload")
            await surges.overload(
                site, vending, result, rounds=chosen.overload_rounds, calm=chosen.seconds,
                seconds=chosen.overload_seconds, quiet=quiet,
            )  # fmt: skip
        if chosen.has("slow-disk"):
            await surges.slow_disk(
                site, vending, result, rounds=chosen.slow_rounds, seconds=chosen.seconds,
                quiet=quiet,
            )  # fmt: skip
        await _memory(site, vending, result, chosen)
        result.books += await books.check(site, vending)
        # While its lane waits: what it holds is undecided, and acknowledged all the same.
        result.books += await books.check(site, paused, vends=False)
        result.books.append(await books.audit(vending))


async def _memory(site: Site, server: Server, result: Result, chosen: Plan) -> None:
    """Let the server run on at 300/s where that is asked for, and look at its memory."""
    if chosen.has("soak"):
        await _soaked(site, server, result, chosen.soak_seconds)
    counts = (await site.cluster.fetch(books.COUNTS, database=server.database))[0]
    megabytes = processors.resident_mb(server.pid)
    result.set("rss_mb", megabytes, note=f"after {counts['outcomes']:,} vends")


async def _soaked(site: Site, server: Server, result: Result, seconds: float) -> None:
    if seconds < SOAK_SECONDS_MIN:
        reason = f"needs {SOAK_SECONDS_MIN} s at 300/s or more: run without --quick"
        result.set("rss_growth_mb_per_hour", reason=reason)
        return
    _say(f"{seconds:.0f} s at 300/s")
    points = await surges.soak(site, server, seconds=seconds)
    settled = points[len(points) // 3 :]
    note = f"slope over the last two thirds of {seconds:.0f} s"
    result.set("rss_growth_mb_per_hour", surges.slope_per_hour(settled), note=note)
    result.details["soak"] = points[:: max(1, len(points) // 600)]


async def _drained(site: Site, result: Result, chosen: Plan, quiet: Quiet) -> None:
    _say("the drain")
    server = await backlog.drain(
        site, result, count=chosen.backlog, calm=chosen.surge_calm, quiet=quiet
    )
    drained = result.details.get("drain")
    if drained:
        figure = result.figures.get("rss_mb")
        note = f"after {drained['vends']:,} vends in the drain"
        before = 0.0
        if figure is not None and figure.value is not None:
            before = figure.value
            note += f"; {before:.0f} MB {figure.note}"
        result.set("rss_mb", max(drained["memory_mb"], before), note=note)
    result.books += await books.check(site, server)
    result.books.append(await books.audit(server))


async def _volumes(site: Site, result: Result, chosen: Plan, quiet: Quiet) -> None:
    _say(f"importing {chosen.meters:,} meters")
    buyers = await volumes.import_rate(site, result, meters=chosen.meters, quiet=quiet)
    if chosen.has("campaign"):
        _say("a key-change campaign")
        await campaign.key_changes(site, result, quiet=quiet)
    if chosen.has("growth"):
        _say(f"laying in {chosen.vends:,} past vends")
        past = Past(meters=chosen.meters, vends=chosen.vends, until=datetime.now(UTC))
        await volumes.growth(
            site, result, buyers=buyers, past=past, rounds=chosen.growth_rounds,
            seconds=chosen.growth_seconds, quiet=quiet,
        )  # fmt: skip


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
