"""What front processes cost or give on this machine: `python -m benchmarks.fronts`.

Interleaved rounds of the same two loads, direct sales and confirmations, against one process and
against 1 and 2 fronts, each server started for its turn; medians, and medians of ratios within a
round. The last column says how much of the machine strangers took meanwhile.
"""

import asyncio
import tempfile
from pathlib import Path
from statistics import median

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks import books, cluster, committed
from benchmarks.goals import percentile
from benchmarks.quiet import spent_in
from benchmarks.site import TEMPLATE, Fire, Server, Site

WORKERS = (0, 1, 2)
ROUNDS = 3
SECONDS = 4.0
CONNECTIONS = 256
SETTLE_SECONDS = 1.0

Measured = tuple[float, float, float, float]
"""Answers a second, microseconds of processor each, p99 in milliseconds, strangers' cores."""

console = Console(highlight=False)


async def measured(site: Site, server: Server, kind: str) -> Measured:
    """Load a server at saturation."""
    roots = {"vending": server.pid, "postgres": site.cluster.pid}

    async def run() -> Fire:
        fire = await site.fire(server, kind, connections=CONNECTIONS, seconds=SECONDS)
        if kind == "confirm":
            await committed.settled(site.cluster, server.database, fire.prefix)
        return fire

    fire, spent = await spent_in(roots, run())
    took = fire.fired.seconds
    if kind == "confirm":
        done = await committed.stamps(site.cluster, server.database, fire.prefix)
        took = max(took, max(done.values()) - fire.fired.began)
    micros = spent.total(tuple(roots)) / fire.answered * 1e6
    p99 = percentile(sorted(fire.fired.columns()[1]), 0.99)
    return fire.answered / took, micros, p99 * 1e3, spent.strange_cores


async def turn(site: Site, workers: int, found: dict[tuple[int, str], list[Measured]]) -> None:
    """Start a server, warm it up, measure both loads, check its books, and stop it."""
    async with site.server(f"w{workers}", workers=workers) as server:
        warm = await site.fire(server, "confirm", connections=64, seconds=1.0)
        await committed.settled(site.cluster, server.database, warm.prefix)
        for kind in ("sale", "confirm"):
            found.setdefault((workers, kind), []).append(await measured(site, server, kind))
            await asyncio.sleep(SETTLE_SECONDS)
        for line in await books.check(site, server):
            if not line[1]:
                raise RuntimeError(line)


async def run(directory: Path) -> dict[tuple[int, str], list[Measured]]:
    """Run all rounds."""
    found: dict[tuple[int, str], list[Measured]] = {}
    async with cluster.running(directory) as postgres:
        site = Site(directory, postgres)
        await site.furnish()
        for workers in WORKERS:
            await postgres.make(f"w{workers}", template=TEMPLATE)
        for number in range(1, ROUNDS + 1):
            for workers in WORKERS:
                await turn(site, workers, found)
            console.print(f"round {number} of {ROUNDS}")
    return found


def show(found: dict[tuple[int, str], list[Measured]]) -> None:
    """Print a line for each load and number of fronts."""
    table = Table(
        "load", "fronts", "a second", "to one process", "us each", "to one process", "p99 ms",
        "strangers",
    )  # fmt: skip
    for kind in ("sale", "confirm"):
        alone = found[0, kind]
        for workers in WORKERS:
            these = found[workers, kind]
            pairs = list(zip(these, alone, strict=True))
            rate, micros, p99, strange = (
                median(one[column] for one in these) for column in range(4)
            )
            table.add_row(
                kind, str(workers), f"{rate:,.0f}",
                f"{median(a[0] / b[0] for a, b in pairs):.2f}", f"{micros:.0f}",
                f"{median(a[1] / b[1] for a, b in pairs):.2f}", f"{p99:.0f}", f"{strange:.2f}",
            )  # fmt: skip
    console.print(table)


def main() -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory(prefix="stima-fronts-", dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        show(uvloop.run(run(directory)))


if __name__ == "__main__":
    main()
