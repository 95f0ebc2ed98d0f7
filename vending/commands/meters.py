"""`vending meters`: import a file of meters, look at one, block it and let it buy again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table

from vending import log
from vending.clock import system_clock
from vending.commands import key_changes, surroundings
from vending.commands.surroundings import ConfigFile, console
from vending.config import Config
from vending.meters import customer, directory, imports
from vending.meters.customer import Customer
from vending.meters.imports import ImportResult, Progress
from vending.meters.meter import Meter, MeterState, MeterUnknown, meter_pan, parse_meter_number
from vending.quantities import energy_text, money_text

app = cyclopts.App(name="meters", help="Meters: their records, and who may buy.")
app.command(key_changes.change_keys)
app.command(key_changes.key_changes)
app.command(key_changes.withdraw_key_changes)

PLAIN_STEPS = 10
"""A progress that nobody watches is told in tenths: a log keeps every line."""

logger = log.get(__name__)


@app.command(name="import")
def import_(
    file: Annotated[Path, Parameter(help="Meter file; docs/operating/import-meters.md.")],
    *,
    config: ConfigFile = None,
) -> None:
    """Import a meter file (CSV); rows that cannot be taken go to FILE.rejects.csv with the reason.

    Run it as often as you like: meters that are already as the file says are left alone.
    """
    read = surroundings.settings(config)
    started = system_clock()
    result = surroundings.run(_imported(read, file))
    seconds = (system_clock() - started).total_seconds()
    rows = result.accepted + result.rejected
    per_second = int(rows / max(seconds, 0.001))
    logger.info(
        "meters imported",
        rows=rows,
        added=result.added,
        updated=result.updated,
        unchanged=result.unchanged,
        rejected=result.rejected,
        rows_per_second=per_second,
    )
    _tell(result, rows=rows, seconds=seconds, per_second=per_second)


@app.command
def show(meter: str, *, config: ConfigFile = None) -> None:
    """Show a meter's record, and what its next purchase depends on.

    Parameters
    ----------
    meter
        The meter number, of 11, 13 or 18 digits.

    """
    number = parse_meter_number(meter)
    found = surroundings.run(_found(surroundings.settings(config), number))
    table = Table(show_header=False)
    for name, value in _facts(*found).items():
        table.add_row(name, value)
    console.print(table)


@app.command
def block(meter: str, *, config: ConfigFile = None) -> None:
    """Stop sales to a meter; money that still comes for it becomes a refund due.

    Parameters
    ----------
    meter
        The meter number, of 11, 13 or 18 digits.

    """
    number = parse_meter_number(meter)
    surroundings.run(_blocked(surroundings.settings(config), number, blocks=True))
    console.print(f"{number} is blocked")


@app.command
def unblock(meter: str, *, config: ConfigFile = None) -> None:
    """Let a blocked meter buy again.

    Parameters
    ----------
    meter
        The meter number, of 11, 13 or 18 digits.

    """
    number = parse_meter_number(meter)
    surroundings.run(_blocked(surroundings.settings(config), number, blocks=False))
    console.print(f"{number} may buy")


async def _imported(read: Config, file: Path) -> ImportResult:
    async with surroundings.opened(read) as base:
        with told_progress(console) as on_progress:
            return await imports.import_csv(
                base.dsn,
                file,
                now=system_clock(),
                on_progress=on_progress,
                country=read.utility.country_code,
            )


async def _found(read: Config, number: str) -> tuple[Meter, MeterState, Customer, int]:
    async with surroundings.connected(read) as db:
        found = await directory.find_with_state(db, [number])
        if number not in found:
            raise MeterUnknown(meter_number=number)
        owed = (await directory.debts(db, [number])).get(number, ())
        whose = await customer.find(db, number)
        return *found[number], whose, sum(debt.balance_minor for debt in owed)


async def _blocked(read: Config, number: str, *, blocks: bool) -> None:
    async with surroundings.connected(read) as db:
        change = directory.block if blocks else directory.unblock
        await change(db, number, now=system_clock())


@contextmanager
def told_progress(to: Console) -> Iterator[Callable[[Progress], None]]:
    """Yield what tells an import's progress: bars on a terminal, a few plain lines elsewhere."""
    if not to.is_terminal:
        yield _plain_lines(to)
        return
    columns = (
        TextColumn("{task.description:<8}"), BarColumn(), TaskProgressColumn(show_speed=True),
        MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Bars(*columns, console=to) as bars:
        tasks = {stage: bars.add_task(stage, total=None) for stage in ("reading", "merging")}
        yield lambda progress: bars.update(
            tasks[progress.stage], completed=progress.done, total=progress.total
        )


def _plain_lines(to: Console) -> Callable[[Progress], None]:
    told: dict[str, int] = {}

    def tell(progress: Progress) -> None:
        step = PLAIN_STEPS * progress.done // max(progress.total, 1)
        if step > told.get(progress.stage, 0):
            told[progress.stage] = step
            unit = "bytes" if progress.stage == "reading" else "rows"
            to.print(f"{progress.stage} {progress.done} of {progress.total} {unit}")

    return tell


def _tell(result: ImportResult, *, rows: int, seconds: float, per_second: int) -> None:
    console.print(
        f"{rows} rows in {seconds:.1f} s ({per_second} rows/s): {result.added} added, "
        f"{result.updated} updated, {result.unchanged} unchanged, {result.rejected} rejected",
        soft_wrap=True,
    )
    if result.rejects_path is not None:
        console.print(f"rejected rows and why: {result.rejects_path}", soft_wrap=True)


def _facts(meter: Meter, state: MeterState, whose: Customer, owed_minor: int) -> dict[str, str]:
    return {
        "meter number": meter.meter_number,
        "meter PAN": meter_pan(meter.meter_number),
        "customer": whose.masked or "not known",
        "free each month": f"{energy_text(whose.free_month_wh)} kWh",
        "status": meter.status,
        "supply group": f"{meter.sgc}, key revision {meter.krn}, key type {meter.key_type}",
        "tariff index": f"{meter.ti:02d}",
        "algorithm": f"EA{meter.ea:02d}, token carrier {meter.tct:02d}",
        "base date": f"{meter.tid_base:02d}, key expiry number {meter.ken}",
        "tariff": f"{meter.tariff}, {meter.tariff_category}",
        "phones": ", ".join(f"{phone[:5]}***{phone[-2:]}" for phone in meter.phones) or "none",
        "language": meter.language,
        "region": meter.region or "none",
        "last token identifier": str(state.last_tid or "none"),
        "month": f"{state.month or 'none'}, {energy_text(state.month_energy_wh)} kWh",
        "months before": ", ".join(f"{energy_text(wh)} kWh" for wh in state.history_wh),
        "debts": f"{state.open_debts}, {money_text(owed_minor)} in all",
    }
