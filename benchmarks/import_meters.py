"""How many meters a second come in from a file: `python benchmarks/import_meters.py [ROWS]`.

Runs the real import into a durable PostgreSQL of its own, started for this run and removed after
it: once into an empty directory, once more over the same meters.
"""

import asyncio
import random
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from vending.meters import imports
from vending.meters.check_digits import luhn_digit
from vending.meters.meter_rows import COLUMNS
from vending.postgres import embedded, migrate
from vending.postgres.embedded import EmbeddedSettings

ROWS = 1_000_000
NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


def generate(path: Path, rows: int) -> None:
    """Write a file of so many meters in no order, most with one phone."""
    chance = random.Random(rows)
    with path.open("w", encoding="ascii") as file:
        file.write(",".join(COLUMNS) + "\n")
        for serial in range(rows):
            # An odd factor walks through all ten-digit bodies before it meets one again.
            body = f"{serial * 2_654_435_761 % 10**10:010d}"
            phones = [
                f"+2547{chance.randrange(10**8):08d}" for _ in range(chance.choice((0, 1, 1, 1, 2)))
            ]
            file.write(
                f"{body}{luhn_digit(body)},{chance.choice(('201457', '201458'))},1,"
                f"{chance.randrange(1, 4):02d},{chance.choice(('07', '11'))},02,14,255,KE-DC,"
                f"{chance.choice(('DC', 'SC'))},active,{';'.join(phones)},"
                f"{chance.choice(('en', 'sw'))},Region {chance.randrange(47)}\n"
            )


async def measure(directory: Path, rows: int) -> None:
    """Import a generated file twice and print the rates."""
    path = directory / "meters.csv"
    generate(path, rows)
    async with embedded.running(EmbeddedSettings(data_dir=directory / "data")) as owner_dsn:
        await migrate.migrate(owner_dsn, now=NOW)
        for what in ("new meters", "the same again"):
            started = time.perf_counter()
            result = await imports.import_csv(
                embedded.application_dsn(owner_dsn), path, now=NOW, on_progress=lambda _: None
            )
            seconds = time.perf_counter() - started
            megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            print(
                f"{what}: {rows} rows in {seconds:.1f} s, {rows / seconds:,.0f} rows/s, "
                f"{result.added} added, {result.unchanged} unchanged, {result.rejected} rejected, "
                f"{megabytes} MB"
            )


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory(prefix="stima-", dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(measure(directory, rows))


if __name__ == "__main__":
    main()
