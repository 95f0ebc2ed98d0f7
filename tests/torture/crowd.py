"""The load: customers who never stop paying, told to the server twice, late and out of order."""

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta

from vending.simulation import seed
from vending.simulation.operator import Answer, Operator
from vending.simulation.pay_bill import CustomerPayment
from vending.simulation.seed import Home

TELLERS = 8
REST_SECONDS = 0.08
"""Between two calls of one teller at most: a few hundred payments a second, not all that fits."""


class Crowd:
    """Customers of some homes; `run` pays until it is cancelled."""

    def __init__(self, operator: Operator, homes: Sequence[Home], *, chance: random.Random) -> None:
        self._operator = operator
        self._homes = homes
        self._chance = chance
        self._told: list[CustomerPayment] = []
        self._believed: list[CustomerPayment] = []
        self._acknowledged = asyncio.Event()
        self.acknowledgements = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tellers:
            for _ in range(TELLERS):
                tellers.create_task(self._teller())

    async def acknowledged(self, count: int = 1) -> None:
        """Wait until so many more calls have been acknowledged."""
        wanted = self.acknowledgements + count
        while self.acknowledgements < wanted:
            self._acknowledged.clear()
            await self._acknowledged.wait()

    async def ask_again(self) -> None:
        """Tell once more of every payment whose answer never came, as reconciliation would."""
        believed = {one.transaction_id for one in self._believed}
        for one in [one for one in self._told if one.transaction_id not in believed]:
            self._heard(one, await self._operator.confirm(one, behaviour="again"))

    async def _teller(self) -> None:
        while True:
            if not await self._one_call():
                await asyncio.sleep(REST_SECONDS)  # the server is away
            await asyncio.sleep(self._chance.random() * REST_SECONDS)

    async def _one_call(self) -> bool:
        operator, chance = self._operator, self._chance
        match chance.choices(
            ("new", "again", "at_once", "reorder", "late", "stray", "other_facts"),
            weights=(55, 15, 10, 5, 5, 5, 5),
        )[0]:
            case "again" if self._told:
                payment = chance.choice(self._told)
                return self._heard(payment, await operator.confirm(payment, behaviour="again"))
            case "at_once":
                payment = self._taken()
                answers = await operator.at_once(payment, chance.randint(2, 4))
                heard = [self._heard(payment, answer) for answer in answers]
                return any(heard)
            case "reorder":
                payments = [self._taken() for _ in range(3)]
                answers = await operator.in_any_order(payments)
                heard = [self._heard(*one) for one in zip(payments, answers, strict=True)]
                return any(heard)
            case "late":
                payment = self._taken(ago=timedelta(hours=chance.randint(1, 30)))
            case "stray":
                payment = self._noted(operator.take("not a meter", 100_00))
            case "other_facts" if self._believed:
                known = chance.choice(self._believed)
                answer = await operator.other_facts(known, amount_minor=known.amount_minor + 100)
                return answer.ok
            case _:
                payment = self._taken()
        return self._heard(payment, await operator.confirm(payment))

    def _taken(self, *, ago: timedelta = timedelta(0)) -> CustomerPayment:
        home = self._chance.choice(self._homes)
        amount_minor = seed.amount_minor(home, self._chance)
        return self._noted(self._operator.take(home.meter_number, amount_minor, ago=ago))

    def _noted(self, payment: CustomerPayment) -> CustomerPayment:
        self._told.append(payment)
        return payment

    def _heard(self, payment: CustomerPayment, answer: Answer) -> bool:
        if answer.ok:
            self._believed.append(payment)
            self.acknowledgements += 1
            self._acknowledged.set()
        return answer.ok
