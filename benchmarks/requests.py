"""What a load generator sends: whole HTTP requests as bytes, made cheaply and from a seed.

A request is looked up by its number, so that the same number is the same request and whoever reads
the answers knows what was asked. Transaction ids begin with the clock: two runs never share one,
and a run against a used database meets no duplicates it did not mean.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

import msgspec

RequestOf = Callable[[int], bytes]
"""A request by its number, from 0."""

_LETTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PREFIX_LETTERS: Final = 5
_COUNTED: Final = 36**5
_EAST_AFRICA: Final = timezone(timedelta(hours=3))
_EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
_TENTH: Final = timedelta(milliseconds=100)
_AMOUNTS: Final = (50, 100, 100, 200, 200, 250, 300, 500, 500, 1000, 2000, 3000)
"""What people pay, in shillings: round sums, and small ones more often."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests to make: `kind` is confirm, sale or echo.

    `meters` are meter numbers to buy for; `path` and `headers` go on the request line and below
    it. `variety` is how many different bodies are made: each names a meter and a sum, and they
    are used in turn.
    """

    kind: str
    path: str
    prefix: str
    meters: list[str]
    short_code: str = "888880"
    headers: list[tuple[str, str]] = []
    variety: int = 20_000
    seed: int = 1


@dataclass(frozen=True, slots=True)
class _Mould:
    """A request but for its transaction id, which goes between the two."""

    before: bytes
    after: bytes


def base36(number: int, letters: int) -> str:
    """Return a number in so many digits and capital letters; what does not fit wraps around."""
    text = ""
    for _ in range(letters):
        number, digit = divmod(number, 36)
        text = _LETTERS[digit] + text
    return text


def prefix_at(at: datetime) -> str:
    """Return what the transaction ids of a run that begins at an instant begin with.

    It moves every tenth of a second and comes round after ten weeks.
    """
    return base36((at - _EPOCH) // _TENTH, _PREFIX_LETTERS)


def transaction_id(prefix: str, number: int) -> str:
    """Return the id of a run's request: ten letters and digits, as M-PESA's are."""
    return prefix + base36(number % _COUNTED, 5)


def requests(order: Order, *, at: datetime) -> RequestOf:
    """Return the requests of an order; payments made in it were made at `at`."""
    if order.kind == "echo":
        return _echoes(order, at)
    chance = random.Random(order.seed)
    form = _confirmation if order.kind == "confirm" else _sale
    moulds = [
        _mould(order, form(order, chance.choice(order.meters), chance.choice(_AMOUNTS), at))
        for _ in range(min(order.variety, max(1, 4 * len(order.meters))))
    ]
    return _numbered(moulds, order.prefix)


def _numbered(moulds: Sequence[_Mould], prefix: str) -> RequestOf:
    """Put the ids in: two look-ups and two joins, since this is done for every request."""
    high = [(prefix + base36(number, 2)).encode() for number in range(36**2)]
    low = [base36(number, 3).encode() for number in range(36**3)]
    count, span = len(moulds), 36**3

    def request(number: int) -> bytes:
        mould = moulds[number % count]
        return mould.before + high[number // span] + low[number % span] + mould.after

    return request


_ID: Final = "@@@@@@@@@@"


def _mould(order: Order, members: dict[str, object]) -> _Mould:
    body = msgspec.json.encode(members)
    head = [f"POST {order.path} HTTP/1.1", "Host: utility.example", "User-Agent: Daraja/3.0"]
    head += [f"{name}: {value}" for name, value in order.headers]
    head += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
    before, _, after = ("\r\n".join(head).encode() + body).partition(_ID.encode())
    return _Mould(before, after)


def _confirmation(order: Order, meter: str, shillings: int, at: datetime) -> dict[str, object]:
    """Return a C2B confirmation (Daraja v1: the payer is a hash, so the household is told)."""
    return {
        "TransactionType": "Pay Bill",
        "TransID": _ID,
        "TransTime": at.astimezone(_EAST_AFRICA).strftime("%Y%m%d%H%M%S"),
        "TransAmount": f"{shillings}.00",
        "BusinessShortCode": order.short_code,
        "BillRefNumber": meter,
        "InvoiceNumber": "",
        "OrgAccountBalance": "49197.00",
        "ThirdPartyTransID": "",
        "MSISDN": "b2c0a9d7e1f34c5586790a1b2c3d4e5f60718293a4b5c6d7e8f9010203040506",
        "FirstName": "ACHIENG",
        "MiddleName": "",
        "LastName": "",
    }


def _sale(_order: Order, meter: str, shillings: int, _at: datetime) -> dict[str, object]:
    """Return a vendor's sale, which is answered with the token."""
    return {"reference": _ID, "meter": meter, "amount_minor": shillings * 100}


def _echoes(order: Order, at: datetime) -> RequestOf:
    """Return one request for ever: a confirmation's bytes, for a server that only counts them."""
    meter = order.meters[0] if order.meters else "01234567890"
    mould = _mould(order, _confirmation(order, meter, 500, at))
    whole = mould.before + _ID.encode() + mould.after
    return lambda _number: whole
