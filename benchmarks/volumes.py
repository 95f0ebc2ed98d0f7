"""What the size of a utility costs: its meters imported, and vending beside a long history."""

import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import committed, history, import_meters
from benchmarks.goals import Result
from benchmarks.gun import Phase
from benchmarks.history import Past
from benchmarks.processors import Spent
from benchmarks.quiet import Quiet, spent_in
from benchmarks.site import Server, Site
from vending.meters import imports

GROWN = "grown"
"""The database of the whole utility."""

OFFERED = 1_000
"""Payments a second while growth is measured: the same for both sides, so batches are alike."""

BUYERS = 200_000
"""Meters of the large directory that are ever drawn from: a load's order must be small."""

WARMING_ROUNDS = 2


async def import_rate(site: Site, result: Result, *, meters: int, quiet: Quiet) -> list[str]:
    """Import so many meters into the empty directory of `grown`; return some of their numbers."""
    path = site.directory / "many.csv"
    import_meters.generate(path, meters)
    buyers = _drawn(path, min(meters, BUYERS))

    async def work() -> tuple[tuple[float, int, str], Spent]:
        await site.cluster.execute(f"drop database if exists {GROWN}")
        await site.make_database(GROWN)
        timed, spent = await spent_in({}, _timed_import(site, path))
        quiet.say(f"imported in {timed[0]:.1f} s: {timed[2]}")
        return timed, spent

    seconds, rejected, stages = await quiet.measure("import", work, tries=2)
    note = f"{meters:,} meters in {seconds:.1f} s ({stages}), {rejected} rejected"
    result.set("import_rows_per_s", meters / seconds, note=note + quiet.told("import"))
    path.unlink()
    return buyers


async def _timed_import(site: Site, path: Path) -> tuple[float, int, str]:
    """Return how long an import took, how many rows it rejected, and where the time went."""
    began = time.perf_counter()
    read_until = began

    def on_progress(progress: imports.Progress) -> None:
        nonlocal read_until
        if progress.stage == "reading":
            read_until = time.perf_counter()

    done = await imports.import_csv(
        site.cluster.application_dsn(GROWN), path, now=datetime.now(UTC), on_progress=on_progress
    )
    until = time.perf_counter()
    stages = f"{read_until - began:.1f} s read and staged, {until - read_until:.1f} s merged"
    return until - began, done.rejected, stages


def _drawn(path: Path, count: int) -> list[str]:
    """Return so many meter numbers of an import file, evenly over it."""
    with path.open(encoding="ascii") as file:
        total = sum(1 for _ in file) - 1
        file.seek(0)
        next(file)
        every = max(1, total // count)
        return [line.partition(",")[0] for place, line in enumerate(file) if place % every == 0]


async def growth(
    site: Site, result: Result, *, buyers: list[str], past: Past, rounds: int, seconds: float,
    quiet: Quiet,
) -> None:  # fmt: skip
    """Offer the same to a server with a large history and to one with none, in turns."""
    await history.lay(site.cluster.dsn(GROWN), past, say=quiet.say)
    async with site.server(GROWN) as grown, site.server("fresh") as fresh:
        pair = partial(
            _pair, site, grown=(grown, buyers), fresh=(fresh, list(site.meters)), seconds=seconds
        )
        for _ in range(WARMING_ROUNDS):
            await pair()
        found = []
        for number in range(1, rounds + 1):
            large, small = await quiet.measure(f"growth {number}", pair)
            found.append((large, small))
            quiet.say(f"growth {number} of {rounds}: {large:.0f} us against {small:.0f} us")
    note = (
        f"{past.meters:,} meters and {past.vends:,} past vends against {len(site.meters):,} and "
        f"none, warm, at {OFFERED:,}/s offered; {median(large for large, _ in found):.0f} us "
        f"against {median(small for _, small in found):.0f} us{quiet.told('growth')}"
    )
    result.set("growth", rounds=[large / small for large, small in found], note=note)


async def _pair(
    site: Site, *, grown: tuple[Server, list[str]], fresh: tuple[Server, list[str]], seconds: float
) -> tuple[tuple[float, float], Spent]:
    """Return the database's microseconds per payment of both servers, and the louder stretch."""
    usual = site.meters
    costs, stretches = [], []
    try:
        for server, meters in (grown, fresh):
            site.meters = meters
            micros, spent = await _database_micros(site, server, seconds)
            costs.append(micros)
            stretches.append(spent)
    finally:
        site.meters = usual
    return (costs[0], costs[1]), max(stretches, key=lambda spent: spent.strange_cores)


async def _database_micros(site: Site, server: Server, seconds: float) -> tuple[float, Spent]:
    async def run() -> int:
        fire = await site.fire(
            server, "confirm", connections=128,
            phases=[Phase(per_second=OFFERED, seconds=seconds)],
        )  # fmt: skip
        await committed.settled(site.cluster, server.database, fire.prefix)
        return fire.answered

    done, spent = await spent_in({"postgres": site.cluster.pid}, run())
    return spent.trees["postgres"] / max(1, done) * 1e6, spent
