"""A simulated M-PESA: takes customers' money and tells the server about it, well or badly.

It speaks HTTP to the server's two callback addresses like the real operator, and writes every
request and answer into its own `History`, from which alone a server is judged. Nothing here is
shared with the server: what both know is the operator's published interface.
"""

import asyncio
import json
import random
import time
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import TracebackType
from typing import Literal, Self

import aiohttp

from vending.clock import Clock
from vending.simulation import pay_bill
from vending.simulation.history import Call, Event, EventKind, History
from vending.simulation.pay_bill import CustomerPayment, PayerShown

_OK = 200
_CLIENT_FAULTS = range(400, 500)
_TRY_LATER = frozenset({408, 425, 429})

_BUILT_IN_SHOWN = {"v1": PayerShown.HASHED, "v2": PayerShown.MASKED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How the operator is set up towards one server.

    `unanswered` is Daraja's ResponseType: what becomes of a payment whose validation nobody
    answered. `resends` is how often a confirmation without a good answer is sent again; the
    published rule is never, observers report otherwise, so both can be played. `shown` of None
    means what the version does by itself; the sandbox is CLEAR.
    """

    base_url: str
    secret: str = field(repr=False)
    short_code: str = "888880"
    version: Literal["v1", "v2"] = "v2"
    shown: PayerShown | None = None
    validates: bool = True
    unanswered: Literal["Completed", "Cancelled"] = "Cancelled"
    answer_seconds: float = 8.0
    resends: int = 0
    resend_after_seconds: float = 0.2
    connections: int = 64

    def url(self, call: Call) -> str:
        """Return the address that was registered for a call."""
        base = self.base_url.rstrip("/")
        return f"{base}/op/saf/{self.secret}/{self.version}/{call}"

    @property
    def payer_shown(self) -> PayerShown:
        """How much of the payer this line's callbacks show."""
        return self.shown or _BUILT_IN_SHOWN[self.version]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, as the operator reads it. `status` is None when nothing did."""

    kind: EventKind
    status: int | None
    text: str

    @property
    def ok(self) -> bool:
        """Whether the server said yes."""
        return self.kind is EventKind.OK

    def value(self, name: str) -> str:
        """Return a member of the JSON answer as text, "" when there is none."""
        try:
            told = json.loads(self.text)
        except ValueError:
            return ""
        return str(told.get(name, "")) if isinstance(told, dict) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """How one attempt to pay went. `checked` is None when the operator did not validate.

    `confirmed` is None when the payment died at validation, so that no money moved.
    """

    payment: CustomerPayment
    checked: Answer | None
    confirmed: Answer | None

    @property
    def acknowledged(self) -> bool:
        """Whether money moved and the server took responsibility for it."""
        return self.confirmed is not None and self.confirmed.ok


class Operator:
    """The operator's side of the two calls; an async context manager that owns its connections."""

    def __init__(
        self, line: Line, *, history: History, clock: Clock, randomness: random.Random
    ) -> None:
        self.line = line
        self.history = history
        self._clock = clock
        self._randomness = randomness
        self._session: aiohttp.ClientSession | None = None
        self._balance_minor = 0
        self._used: set[str] = set()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.line.connections)
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def take(
        self,
        account: str,
        amount_minor: int,
        *,
        msisdn: str = "254708374149",
        ago: timedelta = timedelta(0),
        short_code: str | None = None,
    ) -> CustomerPayment:
        """Take a customer's money: a payment with a transaction id of its own, told to nobody."""
        paid_at = pay_bill.now_in_seconds(self._clock() - ago)
        while True:
            transaction_id = pay_bill.receipt_number(paid_at, self._randomness)
            if transaction_id not in self._used:
                break
        self._used.add(transaction_id)
        self._balance_minor += amount_minor
        return CustomerPayment(
            transaction_id=transaction_id,
            account=account,
            amount_minor=amount_minor,
            short_code=self.line.short_code if short_code is None else short_code,
            paid_at=paid_at,
            msisdn=msisdn.removeprefix("+"),
        )

    async def pay(self, account: str, amount_minor: int, *, msisdn: str = "254708374149") -> Sale:
        """Play a payment as the operator does: validate if so set up, then confirm."""
        payment = self.take(account, amount_minor, msisdn=msisdn)
        if not self.line.validates:
            return Sale(payment=payment, checked=None, confirmed=await self.confirm(payment))
        checked = await self.check(payment)
        dies = checked.kind is EventKind.FAIL or (
            checked.kind is EventKind.UNKNOWN and self.line.unanswered == "Cancelled"
        )
        if dies:
            self._balance_minor -= amount_minor
            return Sale(payment=payment, checked=checked, confirmed=None)
        payment = payment.with_reference(checked.value("ThirdPartyTransID"))
        return Sale(payment=payment, checked=checked, confirmed=await self.confirm(payment))

    async def check(self, payment: CustomerPayment, *, behaviour: str = "pay") -> Answer:
        """Make the validation call once; `fail` means that the server refused the payment."""
        body = pay_bill.body(payment, shown=self.line.payer_shown)
        return await self._call(Call.CHECK, payment, body=body, behaviour=behaviour)

    async def confirm(
        self, payment: CustomerPayment, *, behaviour: str = "pay", resends: int | None = None
    ) -> Answer:
        """Make the confirmation call, and again after no good answer as often as the line says."""
        body = pay_bill.body(
            payment, shown=self.line.payer_shown, org_balance_minor=self._balance_minor
        )
        left = self.line.resends if resends is None else resends
        while True:
            answer = await self._call(Call.CONFIRM, payment, body=body, behaviour=behaviour)
            if answer.ok or left <= 0:
                return answer
            left -= 1
            await asyncio.sleep(self.line.resend_after_seconds)

    async def repeat(self, payment: CustomerPayment, times: int) -> list[Answer]:
        """Send one confirmation several times, each after the answer to the one before."""
        return [await self.confirm(payment, behaviour="repeat") for _ in range(times)]

    async def at_once(self, payment: CustomerPayment, times: int) -> list[Answer]:
        """Send one confirmation several times in parallel."""
        return await asyncio.gather(
            *(self.confirm(payment, behaviour="at_once") for _ in range(times))
        )

    async def in_any_order(self, payments: list[CustomerPayment]) -> list[Answer]:
        """Confirm payments in parallel and in an order that is not the order of payment."""
        shuffled = list(payments)
        self._randomness.shuffle(shuffled)
        answers = await asyncio.gather(
            *(self.confirm(payment, behaviour="reorder") for payment in shuffled)
        )
        told = dict(zip((p.transaction_id for p in shuffled), answers, strict=True))
        return [told[payment.transaction_id] for payment in payments]

    async def late(self, account: str, amount_minor: int, *, by: timedelta) -> Sale:
        """Confirm, without validation, a payment that was made some time ago."""
        payment = self.take(account, amount_minor, ago=by)
        answer = await self.confirm(payment, behaviour="late")
        return Sale(payment=payment, checked=None, confirmed=answer)

    async def other_facts(self, payment: CustomerPayment, *, amount_minor: int) -> Answer:
        """Send a known transaction id again with another amount."""
        altered = replace(payment, amount_minor=amount_minor)
        return await self.confirm(altered, behaviour="other_facts")

    async def with_secret(self, payment: CustomerPayment, secret: str) -> Answer:
        """Confirm through an address that was never registered: somebody guesses the path."""
        url = replace(self.line, secret=secret).url(Call.CONFIRM)
        body = pay_bill.body(payment, shown=self.line.payer_shown, org_balance_minor=0)
        return await self._call(
            Call.CONFIRM, payment, body=body, behaviour="forged_secret", url=url
        )

    async def from_address(self, payment: CustomerPayment, address: str) -> Answer:
        """Confirm from another source address (127.0.0.2, say): somebody who knows the path."""
        body = pay_bill.body(payment, shown=self.line.payer_shown, org_balance_minor=0)
        connector = aiohttp.TCPConnector(local_addr=(address, 0))
        async with aiohttp.ClientSession(connector=connector) as session:
            return await self._call(
                Call.CONFIRM, payment, body=body, behaviour="forged_address", session=session
            )

    async def malformed(self, payment: CustomerPayment) -> dict[str, Answer]:
        """Send every body that no operator should; answers by the name of the fault."""
        return {
            fault: await self._call(
                Call.CONFIRM, payment, body=body, behaviour=f"malformed_{fault}"
            )
            for fault, body in pay_bill.malformed(payment).items()
        }

    async def _call(
        self,
        call: Call,
        payment: CustomerPayment,
        *,
        body: bytes,
        behaviour: str,
        url: str | None = None,
        session: aiohttp.ClientSession | None = None,
    ) -> Answer:
        invoked = Event(
            serial=self.history.next_serial(),
            at_ns=time.monotonic_ns(),
            kind=EventKind.INVOKE,
            call=call,
            behaviour=behaviour,
            transaction_id=payment.transaction_id,
            account=payment.account,
            amount_minor=payment.amount_minor,
        )
        self.history.write(invoked)
        answer = await self._exchange(session or self._open, url or self.line.url(call), body, call)
        self.history.write(
            Event(
                serial=invoked.serial,
                at_ns=time.monotonic_ns(),
                kind=answer.kind,
                call=call,
                behaviour=behaviour,
                transaction_id=payment.transaction_id,
                account=payment.account,
                amount_minor=payment.amount_minor,
                status=answer.status,
                answer=answer.text,
            )
        )
        return answer

    async def _exchange(
        self, session: aiohttp.ClientSession, url: str, body: bytes, call: Call
    ) -> Answer:
        try:
            async with session.post(
                url,
                data=body,
                headers={"Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=self.line.answer_seconds),
            ) as response:
                text = await response.text(errors="replace")
                return read_answer(call, response.status, text)
        except aiohttp.ClientConnectorError as fault:
            return Answer(kind=EventKind.FAIL, status=None, text=f"not reached: {fault}")
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as fault:
            return Answer(kind=EventKind.UNKNOWN, status=None, text=type(fault).__name__)

    @property
    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("use the operator as an async context manager")
        return self._session


def read_answer(call: Call, status: int, text: str) -> Answer:
    """Read an answer as the operator does.

    A validation is refused by any ResultCode but 0, and unanswered by any status but 200. A
    confirmation is good when its status is 200; a client fault means it was not taken on, and
    anything else leaves the operator in doubt.
    """
    if status == _OK:
        answer = Answer(kind=EventKind.OK, status=status, text=text)
        if call is Call.CHECK and answer.value("ResultCode") != "0":
            return replace(answer, kind=EventKind.FAIL)
        return answer
    refused = call is Call.CONFIRM and status in _CLIENT_FAULTS and status not in _TRY_LATER
    return Answer(kind=EventKind.FAIL if refused else EventKind.UNKNOWN, status=status, text=text)
