"""`vending loadtest`: load a server as people and partners do, and judge how it bore it."""

import random
import statistics
import sys
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import cyclopts
import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.table import Table

from vending import config
from vending.clock import system_clock
from vending.commands import surroundings
from vending.commands.loadtest_progress import Progress
from vending.commands.surroundings import console
from vending.errors import Rejected
from vending.loadtest import (
    customers,
    drive,
    limits,
    report,
    run,
    scenarios,
    secrets_file,
    sizing,
    target,
)
from vending.loadtest import verdict as verdicts
from vending.loadtest.gun import Order
from vending.loadtest.run import Asked, Run
from vending.loadtest.scenarios import OPERATOR, Door
from vending.loadtest.target import Target
from vending.simulation.visit import DemoNotRunning, Whereabouts

app = cyclopts.App(
    name="loadtest", help="Put a server under the load of people and partners, and judge it."
)

RESULTS = Path("benchmarks/results/latest.json")
"""Where `make bench` leaves what this machine reached."""

DRAINED = 540_000
"""Payments in the backlog that the bench times."""

_ABOVE_ZERO = Number(gt=0)


class SecretMissing(Rejected):
    """The load test does not know the secret it needs.

    That is the secret part of the callback addresses, or for `vendor-day` vendors' API keys. Put it
    into an environment variable and name that with --secret (with --secret-file, into that file);
    the callbacks of a demo on this machine need only its directory, --home.
    """

    code = "secret_missing"


class NumberUnreadable(Rejected):
    """This is not a number above zero.

    Write it in digits: 7400000, 3 or 0.5.
    """

    code = "number_unreadable"


class _Rate(msgspec.Struct):
    per_second: float


class _Round(msgspec.Struct):
    rates: dict[str, _Rate]


class _Details(msgspec.Struct):
    rounds: list[_Round] = []


class _Figure(msgspec.Struct):
    value: float | None


class _Results(msgspec.Struct):
    """What a plan reads of the bench's results."""

    made_at: str
    figures: dict[str, _Figure]
    details: _Details


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a scenario is played, and where."""

    target: Annotated[
        str, Parameter(help="Server to test, as http://HOST:PORT; default: the demo in --home.")
    ] = ""
    report: Annotated[Path, Parameter(help="Where the HTML page goes.")] = Path("loadtest.html")
    store: Annotated[
        Path | None, Parameter(help="Where the record goes, for `vending loadtest render`.")
    ] = None
    seed: Annotated[int, Parameter(help="The same seed brings the same people.")] = 1
    duration: Annotated[
        float, Parameter(help="Seconds the scenario is played in.", validator=_ABOVE_ZERO)
    ] = 60.0
    rate_scale: Annotated[
        float, Parameter(help="Multiplies every rate.", validator=_ABOVE_ZERO)
    ] = 1.0
    meters: Annotated[
        Path | None,
        Parameter(help="Meters to buy for: CSV with a meter_number column; default: the demo's."),
    ] = None
    secret: Annotated[
        str, Parameter(help="Environment variable with the callback secret, or vendors' keys.")
    ] = ""
    secret_file: Annotated[
        Path | None, Parameter(help="File of NAME=VALUE lines in which that variable is.")
    ] = None
    home: Annotated[Path, Parameter(help="Directory of a running demo, to learn its secret.")] = (
        Path(".stima")
    )
    short_code: Annotated[str, Parameter(help="Pay bill number that sells tokens.")] = "888880"
    connections: Annotated[
        int, Parameter(help="Connections to the server.", validator=Number(gte=1))
    ] = 64
    answer_seconds: Annotated[
        float, Parameter(help="How long an answer is waited for.", validator=_ABOVE_ZERO)
    ] = 8.0
    settle_seconds: Annotated[
        float, Parameter(help="How long the server may go on deciding.", validator=Number(gte=0))
    ] = 60.0
    limit: Annotated[
        list[str], Parameter(help="Change a limit: NAME=NUMBER or NAME=off.", negative="")
    ] = field(default_factory=list)
    i_own_this_target: Annotated[
        bool, Parameter(help="Needed for any target that is not this machine.", negative="")
    ] = False


@app.default
def play(
    scenario: Annotated[str, Parameter(help="One of those `vending loadtest scenarios` lists.")],
    *,
    options: Options | None = None,
) -> None:
    """Play a scenario against a server; exit code 1 when a limit does not hold.

    Writes one HTML page with everything in it. The server's tables get what the scenario pays:
    never do this to one that real people use.
    """
    chosen = options or Options()
    day = scenarios.named(scenario)
    there, secret = _address(chosen, day.door)
    buyers = (
        customers.of_the_demo()
        if chosen.meters is None
        else customers.read(chosen.meters, chance=random.Random(chosen.seed))  # noqa: S311 -- who
    )
    asked = Asked(
        scenario=day.name,
        target=there.url,
        seed=chosen.seed,
        seconds=chosen.duration,
        scale=chosen.rate_scale,
        customers=len(buyers),
        connections=chosen.connections,
        limits=limits.overridden(day.limits, chosen.limit),
    )
    order = Order(
        target=there,
        secret=secret,
        short_code=chosen.short_code,
        scenario=day.name,
        customers=buyers,
        seconds=chosen.duration,
        scale=chosen.rate_scale,
        seed=chosen.seed,
        connections=chosen.connections,
        answer_seconds=chosen.answer_seconds,
        started_at=system_clock(),
    )
    console.print(f"{day.title} against {there.url}: {day.says}", markup=False, soft_wrap=True)
    with Progress(console, title=day.title, seconds=chosen.duration).shown() as progress:
        done = surroundings.run(
            drive.drive(order, asked, settle_seconds=chosen.settle_seconds, tell=progress.take)
        )
    if chosen.store is not None:
        run.store(done, chosen.store)
    if not _concluded(done, chosen.report):
        sys.exit(1)


@app.command(name="scenarios")
def list_scenarios() -> None:
    """List the scenarios, with the rates they are made of."""
    table = Table("scenario", "what it plays", "payments/s", "worst")
    for one in scenarios.SCENARIOS.values():
        mean = sum(stream.curve.mean for stream in one.streams)
        peak = sum(stream.curve.peak for stream in one.streams)
        table.add_row(one.name, one.says, f"{mean:.0f}", f"{peak:.0f}")
    console.print(table)


@app.command
def render(
    record: Annotated[Path, Parameter(help="What `--store` wrote.")],
    *,
    report: Annotated[Path, Parameter(help="Where the HTML page goes.")] = Path("loadtest.html"),
) -> None:
    """Judge and draw a stored load test again; exit code 1 when a limit does not hold."""
    if not _concluded(run.read(record), report):
        sys.exit(1)


@app.command
def plan(
    *,
    meters: Annotated[int, Parameter(help="Prepaid meters.", validator=_ABOVE_ZERO)] = 7_400_000,
    purchases_per_month: Annotated[str, Parameter(help="Of a meter, on the mean.")] = "3",
    outage_hours: Annotated[str, Parameter(help="The outage to recover from.")] = "15",
    measured_vends_per_second: Annotated[
        str, Parameter(help="What your machine reached; default: the last `make bench`.")
    ] = "",
) -> None:
    """Say how large the system must be: the numbers, and the sums that lead to them."""
    speed, source = _speed(measured_vends_per_second)
    table = Table("what", "result", "the sum", show_edge=False)
    for line in sizing.plan(
        meters=meters,
        purchases_a_month=_number(purchases_per_month),
        outage_hours=_number(outage_hours),
        vends_a_second=speed,
        speed_source=source,
    ):
        table.add_row(line.what, line.result, line.sum)
        if not console.is_terminal:
            told = f"{line.what:<28}{line.result:<26}  {line.sum}"
            console.print(told, markup=False, soft_wrap=True)
    if console.is_terminal:
        console.print(table)


def _concluded(done: Run, page: Path) -> bool:
    """Write a run's page and tell its verdict; return whether it passed."""
    day = scenarios.named(done.asked.scenario)
    judgements = limits.judge(done, day)
    verdict = verdicts.verdict(done, day, judgements)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(report.page(done, day), encoding="utf-8")
    for one in judgements:
        mark = "[green]holds[/]" if one.holds else "[bold red]FAILS[/]"
        console.print(f"  {mark}  {one.sentence()}", soft_wrap=True)
    each = done.ended.cpu_seconds / max(1, done.ended.requests) * 1_000_000
    console.print(
        f"generator: {done.ended.requests:,} requests, {done.ended.cpu_seconds:.2f} s of processor "
        f"time, {each:.0f} µs each",
        soft_wrap=True,
    )
    console.print(f"{verdict.word}. {verdict.text}", markup=False, soft_wrap=True)
    console.print(f"report: {page}", markup=False, soft_wrap=True)
    return verdict.passed


def _address(chosen: Options, door: Door) -> tuple[Target, str]:
    """Return the target and its secret; of a demo on this machine the callbacks' is known."""
    try:
        demo = Whereabouts.read(chosen.home)
    except DemoNotRunning:
        if not chosen.target:
            raise
        demo = None
    there = target.parse(
        chosen.target or (demo.url if demo else ""), owned=chosen.i_own_this_target
    )
    if chosen.secret:
        told = None if chosen.secret_file is None else secrets_file.read(chosen.secret_file)
        return there, config.variable(chosen.secret, told)
    if door is OPERATOR and demo is not None and demo.url == there.url:
        return there, demo.secret
    raise SecretMissing(target=there.url)


def _number(text: str) -> Fraction:
    try:
        number = Fraction(text.replace(",", "").replace("_", ""))
    except (ValueError, ZeroDivisionError):
        raise NumberUnreadable(given=text) from None
    if number <= 0:
        raise NumberUnreadable(given=text)
    return number


def _speed(given: str) -> tuple[Fraction | None, str]:
    """Return the speed to reckon with and where it is from: the option, or the last bench."""
    if given:
        return _number(given), "as given"
    try:
        results = msgspec.json.decode(RESULTS.read_bytes(), type=_Results)
    except (OSError, msgspec.MsgspecError):
        return None, ""
    drain = results.figures.get("drain_540k_s")
    if drain is not None and drain.value:
        speed = DRAINED / Fraction(drain.value)
        return (
            speed,
            f"{DRAINED:,} drained in {drain.value:.0f} s by the bench of {results.made_at}",
        )
    rates = [one.rates["sale"].per_second for one in results.details.rounds if "sale" in one.rates]
    if rates:
        return Fraction(statistics.median(rates)), f"sales/s in the bench of {results.made_at}"
    return None, ""
