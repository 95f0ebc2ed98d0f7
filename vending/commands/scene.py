"""One visit to a running demo: the operator to pay with, and the town to look at afterwards."""

import asyncio
import random
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from cyclopts import Parameter
from rich.console import Console

from vending.clock import system_clock
from vending.commands.demo_story import kwh
from vending.errors import Rejected
from vending.quantities import money_text
from vending.simulation import seed
from vending.simulation.history import History
from vending.simulation.operator import Answer, Line, Operator, Sale
from vending.simulation.pay_bill import CustomerPayment, PayerShown
from vending.simulation.seed import Home
from vending.simulation.town import MeterView
from vending.simulation.visit import Visit, Whereabouts

HISTORY = "operator.jsonl"

LOOKS = 100
LOOK_EVERY_SECONDS = 0.1
"""A phone is looked at for ten seconds; the demo's tokens come in tens of milliseconds."""

_AMOUNT = re.compile(r"([0-9]{1,9})(?:\.([0-9]{2}))?")

_T = TypeVar("_T")

console = Console(highlight=False, soft_wrap=True)


class AmountUnreadable(Rejected):
    """This is not an amount of money.

    Write shillings, with cents if there are any: 500 or 499.50.
    """

    code = "amount_unreadable"


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How the simulated operator is set up."""

    home: Annotated[Path, Parameter(help="Directory of the running demo.")] = Path(".stima")
    line: Annotated[
        Literal["v1", "v2", "sandbox"],
        Parameter(help="v1 hashes the payer's number, v2 masks it, sandbox shows it."),
    ] = "v2"
    validation: Annotated[
        bool, Parameter(help="Ask the server before taking the money, as when switched on.")
    ] = True
    resends: Annotated[
        int, Parameter(help="How often an unanswered confirmation is sent again.")
    ] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a command works with: the operator, and the town to look at."""

    operator: Operator
    town: Visit
    homes: dict[str, Home]

    def payer(self, meter: str) -> str:
        """Return the phone somebody at this meter pays from."""
        home = self.homes.get(meter)
        return home.phones[0] if home else "+254708374149"


def cents(amount: str) -> int:
    """Return an amount as people write it in cents; raises AmountUnreadable."""
    found = _AMOUNT.fullmatch(amount.strip().replace(",", ""))
    if found is None:
        raise AmountUnreadable(amount=amount)
    return int(found[1]) * 100 + int(found[2] or 0)


@asynccontextmanager
async def entered(setup: Setup) -> AsyncIterator[Scene]:
    """Visit the running demo; raises DemoNotRunning."""
    there = Whereabouts.read(setup.home)
    line = Line(
        base_url=there.url,
        secret=there.secret,
        short_code=there.short_code,
        version="v1" if setup.line == "v1" else "v2",
        shown=PayerShown.CLEAR if setup.line == "sandbox" else None,
        validates=setup.validation,
        resends=setup.resends,
    )
    chance = random.Random(secrets.randbits(64))  # noqa: S311 -- receipt numbers
    with History(setup.home / HISTORY) as history:
        async with (
            Operator(line, history=history, clock=system_clock, randomness=chance) as operator,
            Visit(there.town_url) as town,
        ):
            homes = {home.meter_number: home for home in seed.homes()}
            yield Scene(operator=operator, town=town, homes=homes)


def take(scene: Scene, meter: str, amount: str) -> CustomerPayment:
    """Take a customer's money for a meter, tell its receipt number, and tell the server nothing."""
    payment = scene.operator.take(meter, cents(amount), msisdn=scene.payer(meter))
    console.print(
        f"  receipt       {payment.transaction_id}, KSh {money_text(payment.amount_minor)}"
        f" for {meter}"
    )
    return payment


def tell_sale(sale: Sale) -> None:
    """Print how a payment went, call by call."""
    console.print(f"  receipt       {sale.payment.transaction_id}")
    if sale.checked is not None:
        tell_answer("validation", sale.checked)
    if sale.confirmed is not None:
        tell_answer("confirmation", sale.confirmed)
    else:
        console.print("  no money has moved")


def tell_answer(about: str, answer: Answer) -> None:
    """Print an answer; of a problem only its code and detail."""
    text = answer.text.strip() or "-"
    if answer.value("code"):
        text = f"{answer.value('code')} {answer.value('detail')}".rstrip()
    console.print(f"  {about:<13} {answer.status or 'no answer'} {text}", markup=False)


async def look_for(look: Callable[[], Awaitable[_T]], found: Callable[[_T], bool]) -> _T:
    """Look until something is found or it is no use any more; return what was seen last."""
    for _ in range(LOOKS):
        seen = await look()
        if found(seen):
            return seen
        await asyncio.sleep(LOOK_EVERY_SECONDS)
    return await look()


async def watch(scene: Scene, meter: str, before: MeterView | None, *, tokens: int) -> bool:
    """Wait until a meter has taken so many tokens more; tell what its phone and display show."""
    phone = scene.payer(meter)
    if before is None:
        texts = await look_for(lambda: scene.town.phone(phone), bool)
        for text in texts[-1:]:
            console.print(f"  phone         {text}", markup=False)
        console.print(f"  meter         none in town has the number {meter}")
        return bool(texts)
    start = before

    async def look() -> MeterView:
        return await scene.town.meter(meter) or start

    after = await look_for(look, lambda seen: seen.accepted >= start.accepted + tokens)
    for text in (await scene.town.phone(phone))[-tokens:]:
        console.print(f"  phone         {text}", markup=False)
    console.print(
        f"  meter         {after.accepted - before.accepted} of {tokens} tokens accepted, balance "
        f"{kwh(before.balance_tenths)} -> {kwh(after.balance_tenths)} kWh"
    )
    return after.accepted == before.accepted + tokens
