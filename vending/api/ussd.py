"""Reading back by USSD: the last tokens of one's own meter, and what became of a payment.

Shaped as Africa's Talking posts it: a form with every input so far joined by "*", answered by
plain text that begins with CON or END. Reads only committed rows, so it works while the vend lane
is stopped (P9), and a repeated hop gets the same screen because a hop changes nothing.

A phone sees what belongs to it: meters it is registered to, and payments for those meters or made
by it in clear. Anything else gets one neutral sentence, after the same reads, whether it exists or
not. A payer the operator shows hashed or masked matches no phone.
"""

from datetime import timedelta
from typing import Final
from zoneinfo import ZoneInfo

import asyncpg
from aiohttp import web

from vending import log, metrics
from vending.api import forms, screens
from vending.api.admission import Admission, Overloaded, RequestClass
from vending.api.calls import call_of
from vending.api.deadline import in_time
from vending.api.doors import Doors
from vending.api.lines import LineLimit
from vending.api.screens import House, TokenFound
from vending.api.sources import Networks, require_secret, require_source
from vending.errors import Refused
from vending.meters import directory
from vending.meters.meter import Meter, meter_pan, parse_meter_number
from vending.meters.phone import PhoneMalformed, e164
from vending.numbering import first_at
from vending.operators.mpesa import OPERATOR
from vending.payments.payment import OutcomeKind
from vending.sms.wording import LANGUAGES

USSD_PATH: Final = "/ussd/{secret}"

ANSWER_SECONDS: Final = 2.0
"""A network ends a session that is silent for some seconds; whoever dials hears from us first."""

TOKENS_SHOWN: Final = 3
WAITING_SINCE: Final = timedelta(days=31)
"""A payment undecided for longer is with a person, who calls the customer."""

_TEXT_LETTERS_MAX = 200
_PHONE_LETTERS_MAX = 32
_RECEIPT_LETTERS_MAX = 32

TOKENS = """
select token, energy_wh, decided_at,
       (select codes from key_change where key_change.payment_id = outcome.payment_id) as codes
  from outcome
 where meter_number = $1 and tid is not null
 order by decided_at desc, tid desc
 limit $2
"""

# As the payer typed it: the meter's number, or the longer one printed on some cards.
WAITING = """
select payment_id, amount_minor
  from payment
 where account_reference = any($1::text[]) and payment_id >= $2
   and not exists (select from outcome where outcome.payment_id = payment.payment_id)
 order by payment_id desc
 limit 1
"""

PAYMENT = """
select payment.payment_id, payment.amount_minor, payment.account_reference, payment.payer,
       payment.payer_kind, outcome.kind, outcome.reason, outcome.meter_number, outcome.token,
       outcome.energy_wh, outcome.decided_at,
       (select codes from key_change where key_change.payment_id = outcome.payment_id) as codes
  from payment
  left join outcome on outcome.payment_id = payment.payment_id
 where operator = $1 and transaction_id = $2
"""

_AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What a read raises when the database is away; TimeoutError is an OSError."""

_log = log.get("api.ussd")


def routes(doors: Doors, gate: Admission) -> list[web.RouteDef]:
    """Return the route of USSD sessions."""
    return [web.post(USSD_PATH, Ussd(doors, gate).hop)]


class Ussd:
    """Answers one key press at a time; nothing is remembered between them."""

    def __init__(self, doors: Doors, gate: Admission) -> None:
        self._doors = doors
        self._gate = gate
        utility, sms = doors.config.utility, doors.config.sms
        self._allowed = Networks(sms.callback_addresses, setting="sms.callback_addresses")
        self._proxies = Networks(
            doors.config.server.trusted_proxies, setting="server.trusted_proxies"
        )
        self._zone = ZoneInfo(utility.time_zone)
        self._house = House(
            name=utility.name,
            help_line=utility.help_line,
            currency_symbol=utility.currency_symbol,
        )
        self._lines = LineLimit()

    async def hop(self, request: web.Request) -> web.Response:
        """Answer a hop with the next screen; one that cannot be looked up says so and ends.

        Under overload that is decided before the form is read.
        """
        require_source(call_of(request), allowed=self._allowed, proxies=self._proxies)
        require_secret(
            request.match_info["secret"], expected=self._doors.config.sms.callback_secret
        )
        try:
            with self._gate.look_up(RequestClass.INTERACTIVE):
                name, more, screen = await self._answer(request)
        except Overloaded:
            name, more, screen = "busy", False, screens.say(LANGUAGES[0], "busy")
        metrics.ussd_screens.labels(name).inc()
        return web.Response(text=f"{'CON' if more else 'END'} {screen}")

    async def _answer(self, request: web.Request) -> tuple[str, bool, str]:
        form = await forms.read_form(request)
        text = forms.member(form, "text", letters_max=_TEXT_LETTERS_MAX)
        phone = self._phone(forms.member(form, "phoneNumber", letters_max=_PHONE_LETTERS_MAX))
        inputs = [part.strip() for part in text.split("*")] if text else []
        try:
            return await in_time(self._looked_up(inputs, phone), seconds=ANSWER_SECONDS)
        except _AWAY as fault:
            self._lines.write(_log.error, "a look-up failed", fault=type(fault).__name__)
            return "away", False, screens.say(LANGUAGES[0], "away")

    async def _looked_up(self, inputs: list[str], phone: str) -> tuple[str, bool, str]:
        meters = await directory.of_phone(self._doors.readers, phone)
        language = meters[0].language if meters else LANGUAGES[0]
        return await self._screen(inputs, phone, meters, language)

    def _phone(self, text: str) -> str:
        try:
            return e164(text, country=self._doors.config.utility.country_code)
        except PhoneMalformed:
            return ""  # no meter is registered to it, and no payer is it

    async def _screen(
        self, inputs: list[str], phone: str, meters: list[Meter], language: str
    ) -> tuple[str, bool, str]:
        """Return the screen's name, whether the session goes on, and its text."""
        match inputs:
            case []:
                return "menu", True, screens.menu(language, house=self._house)
            case ["1"] if len(meters) > 1:
                numbers = [meter.meter_number for meter in meters]
                return "choose_meter", True, screens.choice(language, numbers)
            case ["1"]:
                return await self._tokens(meters[0] if meters else None, language)
            case ["1", wanted]:
                return await self._tokens(_chosen(wanted, meters), language)
            case ["2"]:
                return "ask_receipt", True, screens.say(language, "ask_receipt")
            case ["2", receipt]:
                return await self._payment(receipt, phone, meters, language)
            case _:
                return "no_choice", False, screens.say(language, "no_choice")

    async def _tokens(self, meter: Meter | None, language: str) -> tuple[str, bool, str]:
        # A meter that is not this phone's takes the same two reads, of nothing.
        number = meter.meter_number if meter else ""
        typed = [number, meter_pan(number)] if meter else ["", ""]
        since = first_at(self._doors.clock() - WAITING_SINCE)
        rows = await self._doors.readers.fetch(TOKENS, number, TOKENS_SHOWN)
        waiting = await self._doors.readers.fetchrow(WAITING, typed, since)
        if waiting is not None:
            self._doors.sequencer.bump(waiting["payment_id"])
        if meter is None:
            return "no_meter", False, screens.say(language, "no_meter", help=self._house.help)
        return (
            "tokens",
            False,
            screens.tokens(
                meter.language,
                number,
                [self._token(row) for row in rows],
                coming_minor=waiting["amount_minor"] if waiting else None,
                house=self._house,
            ),
        )

    async def _payment(
        self, receipt: str, phone: str, meters: list[Meter], language: str
    ) -> tuple[str, bool, str]:
        wanted = receipt.upper()[:_RECEIPT_LETTERS_MAX]
        row = await self._doors.readers.fetchrow(PAYMENT, OPERATOR, wanted)
        if row is None or not self._is_theirs(row, phone, meters):
            return "no_payment", False, screens.say(language, "no_payment", help=self._house.help)
        money = self._house.money(row["amount_minor"])
        match row["kind"]:
            case None:
                self._doors.sequencer.bump(row["payment_id"])
                text = screens.say(language, "waits", money=money, receipt=wanted)
            case OutcomeKind.TOKEN_ISSUED:
                text = screens.tokens(
                    language,
                    row["meter_number"],
                    [self._token(row)],
                    coming_minor=None,
                    house=self._house,
                )
            case OutcomeKind.REFUND_DUE:
                text = screens.refund_due(
                    language,
                    receipt=wanted,
                    amount_minor=row["amount_minor"],
                    reason=row["reason"],
                    house=self._house,
                )
            case OutcomeKind.REFUNDED:
                text = screens.say(
                    language, "refunded", money=money, receipt=wanted, help=self._house.help
                )
            case _:
                text = screens.say(language, "credited", money=money, receipt=wanted)
        return str(row["kind"] or "waits"), False, text

    def _is_theirs(self, row: asyncpg.Record, phone: str, meters: list[Meter]) -> bool:
        """Whether a payment was made by a phone in clear, or for a meter registered to it."""
        if row["payer_kind"] == "clear" and phone and self._phone(_dialled(row["payer"])) == phone:
            return True
        number = row["meter_number"] or _meter_number(row["account_reference"])
        return any(meter.meter_number == number for meter in meters)

    def _token(self, row: asyncpg.Record) -> TokenFound:
        return TokenFound(
            digits=row["token"],
            codes=tuple(row["codes"] or ()),
            energy_wh=row["energy_wh"],
            local_time=row["decided_at"].astimezone(self._zone),
        )


def _chosen(wanted: str, meters: list[Meter]) -> Meter | None:
    """Return which of a phone's own meters was chosen, by its place in the list or its number."""
    if wanted.isascii() and wanted.isdigit() and 1 <= int(wanted) <= len(meters):
        return meters[int(wanted) - 1]
    number = _meter_number(wanted)
    return next((meter for meter in meters if meter.meter_number == number), None)


def _meter_number(text: str) -> str | None:
    try:
        return parse_meter_number(text)
    except Refused:
        return None


def _dialled(payer: str) -> str:
    """Return a payer's number as operators write it, 254..., with the plus that E.164 has."""
    return payer if payer.startswith(("+", "0")) else f"+{payer}"
