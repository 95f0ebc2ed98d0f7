"""M-PESA's two calls: may this payment go ahead, and this payment has happened.

Validation writes nothing and never waits for long: what it cannot find out in time it answers by
the utility's own policy. Confirmation is never refused once its source is authentic, because the
money has moved: it is stored, or kept in quarantine, and acknowledged after that commit (P1).

Daraja forbids some words in registered addresses, its own brand among them: hence /op/saf.
"""

import asyncio
import functools
import re
from typing import Final

import asyncpg
from aiohttp import web

from vending import log, metrics
from vending.api import admission, problems
from vending.api.calls import JSON, Call, Reply, call_of
from vending.api.deadline import in_time
from vending.api.doors import Doors
from vending.api.lines import LineLimit
from vending.api.problems import MoneyState
from vending.api.sight import Blinded, Sight
from vending.api.sources import Networks, require_secret, require_source
from vending.errors import Refused, VendingError
from vending.meters import directory
from vending.meters.meter import parse_meter_number, require_active
from vending.operators import mpesa
from vending.operators.mpesa import ValidationCode, ValidationRequest
from vending.payments.inbox import Conflicting, InboxUnavailable, Repeated, Stored
from vending.payments.intake import Spooled, Taken
from vending.payments.payment import NoticeMalformed
from vending.tallies import Count

CHECK_PATH: Final = "/op/saf/{secret}/{version:v[12]}/check"
CONFIRM_PATH: Final = "/op/saf/{secret}/{version:v[12]}/confirm"

MALFORMED_REASON: Final = "notice_malformed"
"""Why a confirmation's bytes are in quarantine."""

_ANSWER_OF: Final[dict[type[Taken], str]] = {
    Stored: "stored",
    Repeated: "repeated",
    Conflicting: "conflicting",
    Spooled: "spooled",
}

_BLINDING = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
"""What a look-up raises when the database is away; TimeoutError is an OSError."""

_ACKNOWLEDGED: Final = Reply(status=200, body=mpesa.confirmation_reply())

_log = log.get("api.callbacks")


def routes(doors: Doors) -> list[web.RouteDef]:
    """Return the callback routes that are not an express."""
    return [web.post(CHECK_PATH, Validations(doors).check)]


class _Source:
    """Who may call: an operator's address, and whoever has its secret."""

    def __init__(self, doors: Doors) -> None:
        self._secret = doors.config.mpesa.secret
        self._allowed = Networks(
            doors.config.mpesa.allowed_addresses, setting="mpesa.allowed_addresses"
        )
        self._proxies = Networks(
            doors.config.server.trusted_proxies, setting="server.trusted_proxies"
        )

    def require(self, call: Call) -> None:
        """Raise SourceForbidden or PathUnknown for anybody else."""
        # The address first: from anywhere else, a right secret looks like a wrong one.
        require_source(call, allowed=self._allowed, proxies=self._proxies)
        require_secret(call.secret, expected=self._secret)


class Confirmations:
    """Takes M-PESA's confirmations; v1 and v2 differ only in what they show of the payer."""

    route = CONFIRM_PATH
    shown = "/op/saf/{secret}/{version}/confirm"
    path = re.compile(rb"/op/saf/([^/?]+)/v[12]/confirm")

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._source = _Source(doors)
        self._seconds = metrics.callback_seconds.labels(mpesa.OPERATOR, "confirm")

    def closed(self, _call: Call) -> VendingError | None:
        """Return None: the money has moved, and it is never too much."""
        return None

    def admit(self, call: Call) -> None:
        """Let the operator in."""
        self._source.require(call)

    async def answer(self, _call: Call, body: bytes) -> Reply:
        """Store a confirmation and acknowledge it.

        New, repeated and conflicting notices get the same bytes: the operator could do nothing
        with a difference. The inbox has quarantined and reported a conflict by then, or will when
        the spool is replayed.
        """
        with self._seconds.time():
            received_at = self._doors.clock()
            try:
                notice = mpesa.notice(body)
                # Every confirmation is stored; for an unknown short code no product is named, and
                # the vend path makes a refund due of it.
                product = self._doors.config.product_of(mpesa.OPERATOR, notice.short_code) or ""
                # The intake keeps what it was given though the caller goes away.
                taken = await self._doors.intake.store(
                    notice, product=product, received_at=received_at
                )
            except NoticeMalformed as malformed:
                return await self._put_aside(body, malformed)
            except InboxUnavailable:
                _count("confirm", "unavailable")
                raise
            _count("confirm", _ANSWER_OF[type(taken)])
            return _ACKNOWLEDGED

    async def _put_aside(self, body: bytes, malformed: NoticeMalformed) -> Reply:
        kept = self._doors.intake.quarantine(
            operator=mpesa.OPERATOR,
            reason=MALFORMED_REASON,
            payload=body,
            detail=", ".join(f"{name}={value}" for name, value in malformed.facts.items()),
            transaction_id=None,
            received_at=self._doors.clock(),
        )
        try:
            # Shielded: the operator's hanging up must not lose the only copy.
            await asyncio.shield(kept)
        except InboxUnavailable:
            _count("confirm", "unavailable")
            raise
        _count("confirm", "malformed")
        return problems.reply(malformed, route=self.shown, money_state=MoneyState.HELD)


class Validations:
    """Answers M-PESA's question whether a payment may go ahead."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._settings = doors.config.mpesa
        self._source = _Source(doors)
        self._seconds = metrics.callback_seconds.labels(mpesa.OPERATOR, "check")
        self._lines = LineLimit()
        self._sight = Sight(readers=doors.config.database.readers)

    async def check(self, request: web.Request) -> web.Response:
        """Answer a validation, with HTTP 200 whatever the answer is.

        A body that is no JSON object gets a 400 problem; one with a wrong member gets the
        operator's own code for it.
        """
        self._source.require(call_of(request))
        with self._seconds.time():
            body = await admission.read_body(request)
            try:
                asked = mpesa.validation(body)
            except NoticeMalformed as malformed:
                refusal = mpesa.refusal_of(malformed)
                if refusal is None:
                    _count("check", "malformed")
                    return problems.answer(malformed, route=CHECK_PATH, money_state=MoneyState.NONE)
                self._lines.write(
                    _log.warning, "a validation was refused unread", **malformed.facts
                )
                code, counted = refusal, f"malformed_{refusal.value}"
            else:
                code, counted = await self._judge(asked)
            _count("check", counted)
            return web.Response(
                body=mpesa.validation_reply(code, third_party_id=str(self._doors.numbers.next())),
                content_type=JSON,
            )

    async def _judge(self, asked: ValidationRequest) -> tuple[ValidationCode, str]:
        """Return the answer to a validation, and what it counts as.

        Only the meter's own state needs the database.
        """
        code = self._code_by_rule(asked)
        if code is not None:
            return code, code.value
        number = parse_meter_number(asked.account_reference)
        found = await self._looked_up(number)
        if found is not None:
            return found, found.value
        policy = self._settings.when_blind
        blind = ValidationCode.ACCEPTED if policy == "accept" else ValidationCode.OTHER_ERROR
        return blind, f"blind_{policy}"

    def _code_by_rule(self, asked: ValidationRequest) -> ValidationCode | None:
        """Return a refusal that needs no look-up, or None."""
        product = self._doors.config.product_of(mpesa.OPERATOR, asked.short_code)
        if product is None:
            return ValidationCode.INVALID_SHORT_CODE
        if product != "prepaid":
            return ValidationCode.OTHER_ERROR
        settings = self._settings
        if not settings.amount_minor_min <= asked.amount_minor <= settings.amount_minor_max:
            return ValidationCode.INVALID_AMOUNT
        try:
            parse_meter_number(asked.account_reference)
        except Refused:
            return ValidationCode.INVALID_ACCOUNT
        return None

    async def _meter_code(self, number: str) -> ValidationCode:
        meters = await directory.find(self._doors.readers, [number])
        if number not in meters:
            return ValidationCode.INVALID_ACCOUNT
        try:
            require_active(meters[number])
        except Refused:
            return ValidationCode.INVALID_ACCOUNT
        return ValidationCode.ACCEPTED

    async def _looked_up(self, number: str) -> ValidationCode | None:
        """Return what a look-up finds; None when the database is away or misses the deadline."""
        try:
            with self._sight.looking():
                return await in_time(
                    self._meter_code(number), seconds=self._settings.validation_milliseconds / 1000
                )
        except Blinded:
            why = "not asked: others were too slow"
        except TimeoutError:
            why = "too slow"
        except _BLINDING as fault:
            why = type(fault).__name__
        self._lines.write(
            _log.warning, "a validation was answered without the database", why=why,
            policy=self._settings.when_blind,
        )  # fmt: skip
        return None


def _count(call: str, found: str) -> None:
    _counter(call, found).inc()


@functools.cache
def _counter(call: str, found: str) -> Count:
    """Return the counter of one answer: finding it anew costs as much as a look at the body."""
    return metrics.callbacks.labels(mpesa.OPERATOR, call, found)
