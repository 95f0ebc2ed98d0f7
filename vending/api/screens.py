"""What a phone shows during a USSD session, in English and Swahili: at most 182 letters a screen.

Pure: facts in, text out. Whatever else must go, the newest token stays whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from vending.quantities import energy_text, money_text
from vending.sms.gsm7 import cut, fold
from vending.sms.wording import grouped, refund_reason

LETTERS_MAX: Final = 182
"""What one USSD screen holds, the CON or END before it not counted (Africa's Talking)."""

METERS_SHOWN_MAX: Final = 6
"""Meters in a list of choices: six lines fit a screen; any other is chosen by its number."""

_NAME_MAX = 20
_HELP_MAX = 15
_SYMBOL_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFound:
    """A committed token, as it may be shown to a phone of its meter.

    `codes` of a key change are typed before it.
    """

    digits: str
    codes: tuple[str, ...] = ()
    energy_wh: int
    local_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What the utility's screens have in common."""

    name: str
    help_line: str
    currency_symbol: str

    def money(self, minor: int) -> str:
        """Return an amount as people write it."""
        return cut(fold(self.currency_symbol), _SYMBOL_MAX) + money_text(minor)

    @property
    def help(self) -> str:
        """The number to call, as it fits a screen."""
        return cut(fold(self.help_line), _HELP_MAX)


_TEXTS: Final = {
    "en": {
        "menu": "{name}\n1. Last tokens\n2. Payment status",
        "choose": "Choose a meter, or type its number:",
        "ask_receipt": "Type the M-PESA receipt number:",
        "meter": "Mtr {meter}",
        "coming": "{money} received. Token is coming.",
        "no_tokens": "No tokens yet.",
        "no_meter": "We find no such meter for this phone. Help: {help}",
        "no_payment": "We find no such payment for this phone. Help: {help}",
        "waits": "We have your {money}, receipt {receipt}. Your token is coming by SMS. "
        "Do not pay again.",
        "refund_due": "{money}, receipt {receipt}, bought no token: {reason}. "
        "It is due back to you. Help: {help}",
        "refunded": "{money}, receipt {receipt}, was paid back. Help: {help}",
        "credited": "{money}, receipt {receipt}, is on your account.",
        "busy": "We are very busy now. Your money and tokens are safe. Dial again in a minute.",
        "away": "We cannot look this up now. Your money and tokens are safe. Try again soon.",
        "no_choice": "There is no such choice. Please dial again.",
    },
    "sw": {
        "menu": "{name}\n1. Tokeni za mwisho\n2. Hali ya malipo",
        "choose": "Chagua mita, au andika namba yake:",
        "ask_receipt": "Andika namba ya risiti ya M-PESA:",
        "meter": "Mita {meter}",
        "coming": "{money} imepokelewa. Tokeni inakuja.",
        "no_tokens": "Hakuna tokeni bado.",
        "no_meter": "Hatuoni mita hiyo kwa simu hii. Msaada: {help}",
        "no_payment": "Hatuoni malipo hayo kwa simu hii. Msaada: {help}",
        "waits": "Tumepokea {money}, risiti {receipt}. Tokeni yako inakuja kwa SMS. Usilipe tena.",
        "refund_due": "{money}, risiti {receipt}, haikununua tokeni: {reason}. "
        "Utarudishiwa. Msaada: {help}",
        "refunded": "{money}, risiti {receipt}, imerudishwa. Msaada: {help}",
        "credited": "{money}, risiti {receipt}, iko kwenye akaunti yako.",
        "busy": "Tuna shughuli nyingi sasa. Pesa na tokeni zako ziko salama. Piga tena baadaye.",
        "away": "Hatuwezi kuangalia sasa. Pesa na tokeni zako ziko salama. Jaribu tena baadaye.",
        "no_choice": "Hakuna chaguo hilo. Tafadhali piga tena.",
    },
}


def say(language: str, what: str, **facts: str) -> str:
    """Return a short sentence by its name, with its facts."""
    return cut(_TEXTS.get(language, _TEXTS["en"])[what].format(**facts), LETTERS_MAX)


def menu(language: str, *, house: House) -> str:
    """Return the first screen."""
    return say(language, "menu", name=cut(fold(house.name), _NAME_MAX))


def choice(language: str, meters: Sequence[str]) -> str:
    """Return the list of a phone's meters, numbered from 1."""
    shown = [f"{place}. {meter}" for place, meter in enumerate(meters[:METERS_SHOWN_MAX], 1)]
    return _fitted([say(language, "choose"), *shown])


def tokens(
    language: str,
    meter: str,
    found: Sequence[TokenFound],
    *,
    coming_minor: int | None,
    house: House,
) -> str:
    """Return a meter's last tokens, newest first, under the word that another is coming."""
    head = [say(language, "meter", meter=meter)]
    if coming_minor is not None:
        head.append(say(language, "coming", money=house.money(coming_minor)))
    elif not found:
        head.append(say(language, "no_tokens"))
    lines = [_line(one) for one in found]
    if lines and len("\n".join([*head, lines[0]])) > LETTERS_MAX:
        head = head[:1]
    return _fitted([*head, *lines])


def _line(one: TokenFound) -> str:
    """Return a token under its day and energy; the codes before it are numbered."""
    codes = [f"{place}:{grouped(code)}" for place, code in enumerate(one.codes, start=1)]
    first = f"{one.local_time:%d/%m} {energy_text(one.energy_wh)}kWh"
    return "\n".join([first, *codes, grouped(one.digits)])


def refund_due(language: str, *, receipt: str, amount_minor: int, reason: str, house: House) -> str:
    """Return why a payment bought no token, and that it is due back."""
    return say(
        language,
        "refund_due",
        money=house.money(amount_minor),
        receipt=receipt,
        reason=refund_reason(language, reason),
        help=house.help,
    )


def _fitted(parts: Sequence[str]) -> str:
    """Join as many parts as fit, from the first; a part is shown whole or not at all."""
    screen = ""
    for part in parts:
        longer = f"{screen}\n{part}" if screen else part
        if len(longer) > LETTERS_MAX:
            break
        screen = longer
    return screen
