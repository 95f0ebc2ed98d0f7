"""Whoever waits for a direct sale's result, and how each is told: once, and only what is known."""

import asyncio

from vending.claims import Claim
from vending.errors import Unavailable
from vending.vend import Result


class SaleUnavailable(Unavailable):
    """The sale could not be made now, or its outcome is not known here.

    Ask again by the same reference: a sale that was made is answered with its token, never made
    twice.
    """

    code = "sale_unavailable"


class Answers:
    """The direct sales that somebody waits for, by their payment's number."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[Result]] = {}

    def awaited(self, number: int) -> "asyncio.Future[Result]":
        """Return what will hold a sale's result; `forget` it when nobody waits any more."""
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        return answer

    def forget(self, number: int) -> None:
        """Let go of a sale that nobody waits for."""
        self._waiting.pop(number, None)

    def give(self, claim: Claim, result: Result | SaleUnavailable) -> None:
        """Tell whoever waits for a claim what came of it."""
        if not self._waiting:
            return
        answer = self._waiting.get(claim.payment.payment_id)
        if answer is not None and not answer.done():
            if isinstance(result, SaleUnavailable):
                answer.set_exception(result)
            else:
                answer.set_result(result)
