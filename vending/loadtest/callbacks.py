"""The bytes of the operator's two calls, made cheaply: a body is written once and filled in.

Transaction ids begin with the clock, so that two runs never share one and a used database meets no
repeats that were not meant; LT in front tells a load test's payments from people's.
"""

import string
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from vending.loadtest import generator
from vending.loadtest.customers import Customer
from vending.simulation import pay_bill
from vending.simulation.pay_bill import CustomerPayment, PayerShown

_DIGITS = string.digits + string.ascii_uppercase
_CLOCK_LETTERS = 8
"""Milliseconds since 1970 in base 36, until the year 2059."""

_SERIAL_LETTERS = 5


def base36(number: int, letters: int) -> str:
    """Return a number in so many digits and capital letters."""
    text = ""
    for _ in range(letters):
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text


def prefix_at(at: datetime) -> str:
    """Return what the transaction ids of a run begin with that starts at an instant."""
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return "LT" + base36(since // timedelta(milliseconds=1), _CLOCK_LETTERS)


@dataclass(slots=True, kw_only=True)
class Payment:
    """One payment of a run: its place in it, who pays, how much, and when (seconds of the run).

    `made` is below zero for a payment that is confirmed late.
    """

    serial: int
    account: str
    payer: str
    amount_minor: int
    made: float


class Callbacks:
    """Writes the requests of one run."""

    def __init__(
        self, *, host: str, path: str, short_code: str, prefix: str, started_at: datetime
    ) -> None:
        """`path` is the registered address without its last part, the secret included."""
        self._prefix = prefix
        self._started_at = started_at
        self._head = {
            call: generator.post(f"{path}/{call}", b"", host=host, headers="User-Agent: Daraja\r\n")
            .rstrip(b"\r\n")
            .removesuffix(b"0")
            for call in ("check", "confirm")
        }
        self._mould = {
            "check": _mould(short_code, balance_minor=None),
            "confirm": _mould(short_code, balance_minor=4_919_700),
        }
        self._stamps: dict[int, bytes] = {}

    def transaction_id(self, payment: Payment) -> str:
        """Return a payment's id: letters and digits, as the operator's are."""
        return self._prefix + base36(payment.serial, _SERIAL_LETTERS)

    def body(self, call: str, payment: Payment) -> bytes:
        """Return the JSON of a `check` or `confirm` call."""
        return self._mould[call] % {
            b"id": self.transaction_id(payment).encode(),
            b"time": self._stamp(payment.made),
            b"amount": b"%d.%02d" % divmod(payment.amount_minor, 100),
            b"account": payment.account.encode(),
            b"payer": payment.payer.encode(),
        }

    def request(self, call: str, payment: Payment) -> bytes:
        """Return the bytes of the whole request of a call."""
        body = self.body(call, payment)
        return b"%b%d\r\n\r\n%b" % (self._head[call], len(body), body)

    def _stamp(self, made: float) -> bytes:
        second = int(made // 1)
        stamp = self._stamps.get(second)
        if stamp is None:
            at = self._started_at + timedelta(seconds=second)
            stamp = at.astimezone(pay_bill.EAST_AFRICA).strftime("%Y%m%d%H%M%S").encode()
            self._stamps[second] = stamp
        return stamp


def shown(customer: Customer) -> str:
    """Return a payer's number as the operator shows it."""
    return pay_bill.payer_text(customer.payer, PayerShown.MASKED)


def _mould(short_code: str, *, balance_minor: int | None) -> bytes:
    """Return a body with holes, by filling the operator's own shape with values to be found."""
    sample = CustomerPayment(
        transaction_id="%(id)b",
        account="%(account)b",
        amount_minor=11_111_111_11,
        short_code=short_code,
        paid_at=datetime(2001, 2, 3, 4, 5, 6, tzinfo=pay_bill.EAST_AFRICA),
        msisdn="%(payer)b",
    )
    body = pay_bill.body(sample, shown=PayerShown.CLEAR, org_balance_minor=balance_minor)
    return body.replace(b"20010203040506", b"%(time)b").replace(b"11111111.11", b"%(amount)b")
