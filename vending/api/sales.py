"""Direct sales inside the utility's own walls: a request, a commit, the token in the answer.

For the utility's own tills and for measuring. A caller names each sale by its own reference, and
asking again by that reference, for whatever reason, gets the first answer (P2, P8).
"""

import hmac
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from vending import metrics
from vending.api import admission
from vending.api.admission import Admission
from vending.api.doors import Doors
from vending.api.sources import Networks, PathUnknown, require_source
from vending.errors import Rejected
from vending.payments.outcomes import Outcome
from vending.payments.payment import PayerKind, Payment, PaymentNotice

PATH: Final = "/internal/sales"
OPERATOR: Final = "internal"
SHORT_CODE: Final = "sales"
PRODUCT: Final = "prepaid"

_BEARER: Final = "Bearer "
_JSON: Final = "application/json"


class SaleMalformed(Rejected):
    """The request does not describe a sale.

    `fault` names the member that is wrong; docs/reference/http-api.md shows a right one.
    """

    code = "sale_malformed"


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a request to sell."""

    reference: Annotated[str, Meta(pattern="^[A-Za-z0-9._:-]{1,64}$")]
    meter: Annotated[str, Meta(min_length=1, max_length=32)]
    amount_minor: Annotated[int, Meta(ge=1, le=100_000_000_000)]


class Sold(msgspec.Struct, frozen=True, kw_only=True):
    """The body of an answer: the token and the receipt behind it."""

    reference: str
    meter: str
    token: str
    energy_wh: int
    amount_minor: int
    tariff: str
    tariff_version: str
    lines: list[tuple[str, int]]


def routes(doors: Doors, gate: Admission) -> list[web.RouteDef]:
    """Return the route of direct sales."""
    return [web.post(PATH, Sales(doors, gate).sell)]


class Sales:
    """Answers requests to sell."""

    def __init__(self, doors: Doors, gate: Admission) -> None:
        self._doors = doors
        self._gate = gate
        settings = doors.config.sales
        self._expected = (_BEARER + settings.secret).encode() if settings.secret else b""
        self._allowed = Networks(settings.allowed_addresses, setting="sales.allowed_addresses")
        self._proxies = Networks(
            doors.config.server.trusted_proxies, setting="server.trusted_proxies"
        )
        self._decoder = msgspec.json.Decoder(Asked)
        self._seconds = metrics.callback_seconds.labels(OPERATOR, "sell")
        self._sold = metrics.callbacks.labels(OPERATOR, "sell", "sold")

    async def sell(self, request: web.Request) -> web.Response:
        """Sell and answer 201 with the token, after the commit that holds it (P3)."""
        self._gate.sale(self._authenticated(request))
        with self._seconds.time():
            body = await admission.read_body(request)
            try:
                asked = self._decoder.decode(body)
            except msgspec.MsgspecError as fault:
                raise SaleMalformed(fault=str(fault)) from None
            outcome = await self._doors.sequencer.sell(self._payment(asked, body))
            self._sold.inc()
            return web.Response(
                status=201, body=msgspec.json.encode(_sold(asked, outcome)), content_type=_JSON
            )

    def _authenticated(self, request: web.Request) -> str:
        """Return the address of whoever asks, which has the secret."""
        source = require_source(request, allowed=self._allowed, proxies=self._proxies)
        given = request.headers.get("Authorization", "").encode()
        if not self._expected or not hmac.compare_digest(given, self._expected):
            raise PathUnknown
        return source

    def _payment(self, asked: Asked, body: bytes) -> Payment:
        now = self._doors.clock()
        return Payment(
            payment_id=self._doors.numbers.next(),
            product=PRODUCT,
            received_at=now,
            notice=PaymentNotice(
                operator=OPERATOR,
                transaction_id=asked.reference,
                short_code=SHORT_CODE,
                account_reference=asked.meter,
                amount_minor=asked.amount_minor,
                paid_at=now,
                payer="",
                payer_kind=PayerKind.ABSENT,
                raw=body,
            ),
        )


def _sold(asked: Asked, outcome: Outcome) -> Sold:
    return Sold(
        reference=asked.reference,
        meter=outcome.meter_number or "",
        token=outcome.token or "",
        energy_wh=outcome.energy_wh or 0,
        amount_minor=asked.amount_minor,
        tariff=outcome.tariff or "",
        tariff_version=outcome.tariff_version or "",
        lines=list(outcome.lines),
    )
