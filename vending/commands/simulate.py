"""`vending simulate`: be M-PESA, well or badly, towards a running demo.

Every command pays through the server's own callback addresses and then looks at the phones and
meters of the town, as a customer would.
"""

import asyncio
import random
import secrets
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated

import cyclopts
from cyclopts import Parameter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from vending.commands import surroundings
from vending.commands.demo_story import kwh
from vending.commands.scene import (
    LOOK_EVERY_SECONDS,
    LOOKS,
    Scene,
    Setup,
    cents,
    console,
    entered,
    take,
    tell_answer,
    tell_sale,
    watch,
)
from vending.simulation import seed, storm
from vending.simulation.seed import Home
from vending.simulation.sms_carrier import Manner
from vending.simulation.storm import Customer, Storm
from vending.simulation.town import MeterView
from vending.simulation.visit import Visit

app = cyclopts.App(name="simulate", help="Be M-PESA, well or badly, towards a running demo.")


@app.command
def pay(
    meter: str,
    amount: str,
    *,
    times: Annotated[int, Parameter(help="How often the confirmation is sent, at once.")] = 1,
    setup: Setup | None = None,
) -> None:
    """Pay for a meter, and wait for the token to reach it."""

    async def act(scene: Scene) -> bool:
        before = await scene.town.meter(meter)
        sale = await scene.operator.pay(meter, cents(amount), msisdn=scene.payer(meter))
        tell_sale(sale)
        if sale.confirmed is not None and times > 1:
            for answer in await scene.operator.at_once(sale.payment, times - 1):
                tell_answer("again", answer)
        return sale.acknowledged and await watch(scene, meter, before, tokens=1)

    _play(act, setup)


@app.command
def repeat(
    meter: str, amount: str, *, times: int = 5, together: bool = False, setup: Setup | None = None
) -> None:
    """Confirm one payment several times, one after the other or all together."""

    async def act(scene: Scene) -> bool:
        before = await scene.town.meter(meter)
        payment = take(scene, meter, amount)
        send = scene.operator.at_once if together else scene.operator.repeat
        for answer in await send(payment, times):
            tell_answer("confirmation", answer)
        return await watch(scene, meter, before, tokens=1)

    _play(act, setup)


@app.command
def reorder(meter: str, amount: str, *, payments: int = 5, setup: Setup | None = None) -> None:
    """Make several payments and confirm them together, in an order of chance."""

    async def act(scene: Scene) -> bool:
        before = await scene.town.meter(meter)
        made = [take(scene, meter, amount) for _ in range(payments)]
        for payment, answer in zip(made, await scene.operator.in_any_order(made), strict=True):
            tell_answer(payment.transaction_id, answer)
        return await watch(scene, meter, before, tokens=payments)

    _play(act, setup)


@app.command
def late(meter: str, amount: str, *, hours: int = 20, setup: Setup | None = None) -> None:
    """Confirm a payment that was made hours ago."""

    async def act(scene: Scene) -> bool:
        before = await scene.town.meter(meter)
        sale = await scene.operator.late(meter, cents(amount), by=timedelta(hours=hours))
        tell_sale(sale)
        return sale.acknowledged and await watch(scene, meter, before, tokens=1)

    _play(act, setup)


@app.command
def conflict(meter: str, amount: str, other: str, *, setup: Setup | None = None) -> None:
    """Confirm a payment, then the same transaction id with another amount."""

    async def act(scene: Scene) -> bool:
        before = await scene.town.meter(meter)
        payment = take(scene, meter, amount)
        tell_answer("confirmation", await scene.operator.confirm(payment))
        answer = await scene.operator.other_facts(payment, amount_minor=cents(other))
        tell_answer("other facts", answer)
        return await watch(scene, meter, before, tokens=1)

    _play(act, setup)


@app.command
def forge(
    meter: str, amount: str, *, address: str = "127.0.0.2", setup: Setup | None = None
) -> None:
    """Tell of payments nobody made: by a guessed path, and from a strange address."""

    async def act(scene: Scene) -> bool:
        forged = take(scene, meter, amount)
        guessed = await scene.operator.with_secret(forged, secrets.token_urlsafe(18))
        tell_answer("guessed path", guessed)
        stranger = await scene.operator.from_address(forged, address)
        tell_answer(f"from {address}", stranger)
        return not guessed.ok and not stranger.ok

    _play(act, setup)


@app.command
def malformed(meter: str, amount: str, *, setup: Setup | None = None) -> None:
    """Send every body that no operator should."""

    async def act(scene: Scene) -> bool:
        answers = await scene.operator.malformed(take(scene, meter, amount))
        for fault, answer in answers.items():
            tell_answer(fault, answer)
        return all(answer.status is not None for answer in answers.values())

    _play(act, setup)


@app.command(name="storm")
def storm_(
    *,
    payments: int = 10_000,
    duplicates: Annotated[int, Parameter(help="Payments in a hundred told 2 to 5 times.")] = 20,
    reorder: Annotated[bool, Parameter(help="Shuffle the callbacks.")] = True,
    in_flight: Annotated[int, Parameter(help="Callbacks under way at a time.")] = 64,
    setup: Setup | None = None,
) -> None:
    """Make thousands of payments all over town, and compare what came of them."""

    async def act(scene: Scene) -> bool:
        chance = random.Random(secrets.randbits(64))  # noqa: S311 -- who pays how much
        homes = list(scene.homes.values())
        customers = [_customer(chance.choice(homes), chance) for _ in range(payments)]
        before = await scene.town.meters()
        with _progress() as progress:
            told = progress.add_task("callbacks answered", total=None)
            made = await storm.run(
                scene.operator,
                customers,
                Storm(duplicates=duplicates, reorder=reorder, in_flight=in_flight),
                randomness=chance,
                on_answer=lambda: progress.advance(told),
            )
            came = progress.add_task("tokens accepted", total=payments)
            after = await _settled(scene.town, before, payments, progress, came)
        findings = storm.judge(
            made, scene.operator.history.events(), before=before, after=after,
            known=scene.homes.__contains__,
        )  # fmt: skip
        for finding in findings:
            mark = "[green]holds[/]" if finding.holds else "[bold red]FAILS[/]"
            console.print(f"  {mark}  {finding.text}")
        return all(finding.holds for finding in findings)

    _play(act, setup)


@app.command
def meters(*, count: int = 20, setup: Setup | None = None) -> None:
    """List some of the town's meters, with what their displays show."""

    async def act(scene: Scene) -> bool:
        seen = {view.meter_number: view for view in await scene.town.meters()}
        first = sorted(scene.homes.values(), key=lambda home: home.meter_number not in seen)
        for home in first[:count]:
            view = seen.get(home.meter_number)
            console.print(
                f"  {home.meter_number:<13}  EA{home.ea:02d}  {home.tariff:<10}  "
                f"{home.region:<8}  {home.phones[0]}  {kwh(view.balance_tenths if view else 0):>10}"
                " kWh"
            )
        return True

    _play(act, setup)


@app.command
def phone(number: str, *, setup: Setup | None = None) -> None:
    """Show the texts on a phone since the demo was started."""

    async def act(scene: Scene) -> bool:
        texts = await scene.town.phone(number)
        for text in texts:
            console.print(text, markup=False)
        if not texts:
            console.print("  no texts")
        return True

    _play(act, setup)


@app.command
def carrier(manner: Manner, *, setup: Setup | None = None) -> None:
    """Change how the SMS carrier behaves, until it is changed again."""

    async def act(scene: Scene) -> bool:
        console.print(f"  {await scene.town.change_carrier(manner)}")
        return True

    _play(act, setup)


def _play(act: Callable[[Scene], Awaitable[bool]], setup: Setup | None) -> None:
    """Run one act; exit code 1 when it did not come out as it should."""

    async def play() -> bool:
        async with entered(setup or Setup()) as scene:
            return await act(scene)

    if not surroundings.run(play()):
        sys.exit(1)


def _customer(home: Home, chance: random.Random) -> Customer:
    return Customer(
        account=home.meter_number,
        amount_minor=seed.amount_minor(home, chance),
        msisdn=home.phones[0],
    )


async def _settled(
    town: Visit, before: list[MeterView], payments: int, progress: Progress, task: object
) -> list[MeterView]:
    """Look at the town until every payment's token was accepted, or nothing moves any more."""
    start = sum(view.accepted for view in before)
    count, still = -1, 0
    while True:
        after = await town.meters()
        now = sum(view.accepted for view in after) - start
        progress.update(task, completed=now)  # type: ignore[arg-type]
        still = still + 1 if now == count else 0
        count = now
        if now >= payments or still >= LOOKS:
            return after
        await asyncio.sleep(LOOK_EVERY_SECONDS)


def _progress() -> Progress:
    return Progress(
        TextColumn("  {task.description:<20}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )
