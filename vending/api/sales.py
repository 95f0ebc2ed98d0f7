"""Direct sales inside the utility's own walls: a request, a commit, the token in the answer.

For the utility's own tills and for measuring. A caller names each sale by its own reference, and
asking again by that reference, for whatever reason, gets the first answer (P2, P8).
"""

import hmac
import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from vending import metrics
from vending.api.admission import Admission
from vending.api.calls import Call, Reply
from vending.api.doors import Doors
from vending.api.sources import Networks, PathUnknown, caller, require_source
from vending.errors import Rejected, VendingError
from vending.key_data import codes_of
from vending.payments.outcomes import Outcome
from vending.payments.payment import PayerKind, Payment, PaymentNotice

PATH: Final = "/internal/sales"
OPERATOR: Final = "internal"
SHORT_CODE: Final = "sales"
PRODUCT: Final = "prepaid"

_BEARER: Final = "Bearer "


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
    key_change_codes: list[str]
    token: str
    energy_wh: int
    amount_minor: int
    tariff: str
    tariff_version: str
    lines: list[tuple[str, int]]


class Sales:
    """Answers requests to sell."""

    route = PATH
    shown = PATH
    path = re.compile(re.escape(PATH.encode()))

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
        self._encoder = msgspec.json.Encoder()
        self._noted: Call | None = None
        self._told: VendingError | None = None
        self._seconds = metrics.callback_seconds.labels(OPERATOR, "sell")
        self._sold = metrics.callbacks.labels(OPERATOR, "sell", "sold")

    def closed(self, call: Call) -> VendingError | None:
        """Return Overloaded while a sale would wait too long."""
        refusal = self._gate.overload()
        # Who hears the same again is noted already; in a flood that saves a third of a refusal.
        if refusal is not None and not (call is self._noted and refusal is self._told):
            self._noted, self._told = call, refusal
            source = caller(call, proxies=self._proxies)
            if source is not None and source in self._allowed:
                self._gate.note(source)
        return refusal

    def admit(self, call: Call) -> None:
        """Let a till in that has the secret and need not wait for long."""
        source = require_source(call, allowed=self._allowed, proxies=self._proxies)
        given = call.authorization.encode()
        if not self._expected or not hmac.compare_digest(given, self._expected):
            raise PathUnknown
        self._gate.sale(source)

    async def answer(self, _call: Call, body: bytes) -> Reply:
        """Sell and reply 201 with the token, after the commit that holds it (P3)."""
        with self._seconds.time():
            try:
                asked = self._decoder.decode(body)
            except msgspec.MsgspecError as fault:
                raise SaleMalformed(fault=str(fault)) from None
            outcome = await self._doors.sequencer.sell(self._payment(asked, body))
            self._sold.inc()
            return Reply(status=201, body=self._encoder.encode(_sold(asked, outcome)))

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
        key_change_codes=list(codes_of(outcome.key_change)),
        token=outcome.token or "",
        energy_wh=outcome.energy_wh or 0,
        amount_minor=asked.amount_minor,
        tariff=outcome.tariff or "",
        tariff_version=outcome.tariff_version or "",
        lines=list(outcome.lines),
    )
