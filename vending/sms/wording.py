"""What our messages say, in English and Swahili: always GSM-7, always one part.

Pure: values in, text out. Money is in cents, energy in watt-hours, and `local_time` is already in
the utility's own zone. What must be read (the token, the receipt number, what to do) is never
shortened; names are, and amounts beyond anything paid by phone drop lesser fields instead.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import lru_cache

from vending.quantities import energy_text, money_text
from vending.sms.gsm7 import PART_SEPTETS, REMEMBERED, cut, fold, septets

LANGUAGES = ("en", "sw")
"""The languages we write; any other is answered in the first."""

_GROUP = 4
_TOKEN_DIGITS = 20
_NAME_SEPTETS_MAX = 20
_REFERENCE_SEPTETS_MAX = 20
_HELP_SEPTETS_MAX = 15
_SYMBOL_SEPTETS_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    meter: str
    token: str
    date: str
    units: str
    amount: str
    token_amount: str
    other_charges: str
    copy: str
    enter_first: str
    refund_due: str
    coming: str
    coming_unnamed: str
    help: str
    reasons: dict[str, str]
    reason_otherwise: str


_ENGLISH = _Words(
    meter="Mtr",
    token="Token",  # noqa: S106 -- a label on a receipt
    date="Date",
    units="Units",
    amount="Amt",
    token_amount="TknAmt",  # noqa: S106 -- a label on a receipt
    other_charges="OtherCharges",
    copy="COPY",
    enter_first="Enter in order (free)",
    refund_due="Paid {amount}, receipt {receipt}. No token: {reason}. "
    "Your money is safe and due back to you.",
    coming="We have your {amount} for meter {reference}, receipt {receipt}. "
    "Your token is coming by SMS. Do not pay again.",
    coming_unnamed="We have your {amount}, receipt {receipt}. "
    "Your token is coming by SMS. Do not pay again.",
    help="Help: {help}",
    reasons={
        "meter_number_malformed": "the meter number is not valid",
        "meter_unknown": "no meter has that number",
        "meter_blocked": "the meter is blocked",
        "meter_removed": "the meter is no longer in use",
        "short_code_unknown": "that pay bill sells no units",
        "amount_too_small": "it is too little for any units",
        "amount_too_large": "it is too much for one token",
    },
    reason_otherwise="the sale was not possible",
)

_SWAHILI = _Words(
    meter="Mita",
    token="Tokeni",  # noqa: S106 -- a label on a receipt
    date="Tarehe",
    units="Uniti",
    amount="Kiasi",
    token_amount="Umeme",  # noqa: S106 -- a label on a receipt
    other_charges="TozoNyingine",
    copy="NAKALA",
    enter_first="Weka kwa mpangilio (bure)",
    refund_due="Umelipa {amount}, risiti {receipt}. Hakuna tokeni: {reason}. "
    "Pesa yako iko salama, utarudishiwa.",
    coming="Tumepokea {amount} ya mita {reference}, risiti {receipt}. "
    "Tokeni yako inakuja kwa SMS. Usilipe tena.",
    coming_unnamed="Tumepokea {amount}, risiti {receipt}. "
    "Tokeni yako inakuja kwa SMS. Usilipe tena.",
    help="Msaada: {help}",
    reasons={
        "meter_number_malformed": "namba ya mita si sahihi",
        "meter_unknown": "hakuna mita yenye namba hiyo",
        "meter_blocked": "mita imefungwa",
        "meter_removed": "mita haitumiki tena",
        "short_code_unknown": "paybill hiyo haiuzi umeme",
        "amount_too_small": "kiasi hakitoshi uniti yoyote",
        "amount_too_large": "kiasi kinazidi tokeni moja",
    },
    reason_otherwise="mauzo hayakuwezekana",
)

_WORDS = {"en": _ENGLISH, "sw": _SWAHILI}


def grouped(digits: str) -> str:
    """Return a token's digits in groups of four, joined by hyphens, as they are keyed in."""
    if len(digits) == _TOKEN_DIGITS:  # as nearly always, and written out because it is quicker
        return f"{digits[:4]}-{digits[4:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:]}"
    return "-".join([digits[start : start + _GROUP] for start in range(0, len(digits), _GROUP)])


def fits_one_part(text: str) -> bool:
    """Whether a text is GSM-7 and leaves as a single part."""
    taken = septets(text)
    return taken is not None and taken <= PART_SEPTETS


def known_reasons() -> Iterable[str]:
    """Return the refusal codes that have words of their own."""
    return _ENGLISH.reasons.keys()


def refund_reason(language: str, reason: str) -> str:
    """Return a refusal's code in plain words; a code without words of its own gets general ones."""
    words = _words(language)
    return words.reasons.get(reason, words.reason_otherwise)


def receipt(  # noqa: PLR0913 -- these are the receipt's own fields
    language: str,
    *,
    meter_number: str,
    digits: str,
    codes: Sequence[str] = (),
    local_time: datetime,
    energy_wh: int,
    tender_minor: int,
    energy_minor: int,
    other_minor: int,
    currency_symbol: str,
    utility_name: str = "",
) -> str:
    """Return the short receipt: meter, token, date, units, amount, token amount, other charges.

    `meter_number`, `digits` and `codes` are nothing but digits.
    `energy_minor` is what bought units and `other_minor` everything else, so that the two sum to
    `tender_minor`. The name leads when there is room for it. `codes` of a key change stand above
    the token, numbered, in the order they are keyed in; what they leave no room for is left out.
    """
    minute = _minute(local_time, local_time.tzinfo)
    if codes:
        words = _words(language)
        return _rekeyed(
            words, codes, digits, meter=f"{words.meter}:{meter_number}",
            date=f"{words.date}:{minute}", units=f"{words.units}:{energy_text(energy_wh)}",
            amount=f"{words.amount}:{_money(currency_symbol, tender_minor)}",
            lead=cut(fold(utility_name), _NAME_SEPTETS_MAX),
        )  # fmt: skip
    figures = (
        meter_number,
        grouped(digits),
        energy_text(energy_wh),
        money_text(tender_minor),
        money_text(energy_minor),
        money_text(other_minor),
    )
    layout, length_max = _layout(language, utility_name, currency_symbol, minute)
    text = layout % figures
    if len(text) <= length_max:
        return text
    return _shortened(language, currency_symbol, minute, figures)


def copy(  # noqa: PLR0913 -- these are the receipt's own fields
    language: str,
    *,
    meter_number: str,
    digits: str,
    codes: Sequence[str] = (),
    local_time: datetime,
    energy_wh: int,
    tender_minor: int,
    energy_minor: int,
    other_minor: int,
    currency_symbol: str,
) -> str:
    """Return the receipt again, marked as a copy: the same digits, never another token."""
    return receipt(
        language, meter_number=meter_number, digits=digits, codes=codes, local_time=local_time,
        energy_wh=energy_wh, tender_minor=tender_minor, energy_minor=energy_minor,
        other_minor=other_minor, currency_symbol=currency_symbol,
        utility_name=_words(language).copy,
    )  # fmt: skip


def refund_due(
    language: str,
    *,
    reason: str,
    receipt_number: str,
    tender_minor: int,
    currency_symbol: str,
    help_line: str,
    utility_name: str = "",
) -> str:
    """Return why there is no token, that the money is due back, and whom to ask.

    `reason` is the code of the refusal, `receipt_number` the operator's own transaction id.
    """
    words = _words(language)
    return _framed(
        words.refund_due.format(
            amount=_money(currency_symbol, tender_minor),
            receipt=_reference(receipt_number),
            reason=refund_reason(language, reason),
        ),
        help_sentence=_help(words, help_line),
        utility_name=utility_name,
    )


def coming(
    language: str,
    *,
    account_reference: str,
    receipt_number: str,
    tender_minor: int,
    currency_symbol: str,
    help_line: str,
    utility_name: str = "",
) -> str:
    """Return that the money has arrived, that the token will follow, and not to pay again.

    `account_reference` is what the payer typed as the meter; it is left out when it is too long.
    """
    words = _words(language)
    reference = fold(account_reference)
    short_enough = reference and (septets(reference) or 0) <= _REFERENCE_SEPTETS_MAX
    template = words.coming if short_enough else words.coming_unnamed
    return _framed(
        template.format(
            amount=_money(currency_symbol, tender_minor),
            reference=reference,
            receipt=_reference(receipt_number),
        ),
        help_sentence=_help(words, help_line),
        utility_name=utility_name,
    )


@lru_cache(maxsize=REMEMBERED)
def _layout(language: str, lead: str, currency_symbol: str, minute: str) -> tuple[str, int]:
    """Return a receipt with a place (%s) for each figure, and how long it may be when filled in.

    The places are, in order, those of meter, token, units, amount, token amount, other charges.
    Remembered, since it is the same for all receipts of a minute: words and names are folded and
    counted here, so that a receipt's own figures, one septet a letter, need only be measured.
    """
    words = _words(language)
    name = cut(fold(lead), _NAME_SEPTETS_MAX)
    symbol = _symbol(currency_symbol)
    before = f"{name} {words.meter}:" if name else f"{words.meter}:"
    sold = f" {words.date}:{minute} {words.units}:"
    escapes = sum((septets(text) or 0) - len(text) for text in (name, symbol))
    layout = (
        f"{_literally(before)}%s {words.token}:%s{sold}%s {words.amount}:{_literally(symbol)}%s "
        f"{words.token_amount}:%s {words.other_charges}:%s"
    )
    return layout, PART_SEPTETS - escapes


def _literally(text: str) -> str:
    return text.replace("%", "%%")


def _shortened(language: str, currency_symbol: str, minute: str, figures: tuple[str, ...]) -> str:
    """Return a receipt without the name, and without as much else as it takes to fit."""
    unnamed, length_max = _layout(language, "", currency_symbol, minute)
    text = unnamed % figures
    if len(text) <= length_max:
        return text
    bare, length_max = _layout(language, "", "", minute)
    text = bare % figures
    if len(text) <= length_max:
        return text
    return text[: text.index(f" {_words(language).token_amount}:")]


def _rekeyed(
    words: _Words,
    codes: Sequence[str],
    digits: str,
    *,
    meter: str,
    date: str,
    units: str,
    amount: str,
    lead: str,
) -> str:
    """Return the receipt with codes above its token, with as much beside them as fits one part."""
    numbered = [f"{place}:{grouped(code)}" for place, code in enumerate(codes, start=1)]
    entered = " ".join([*numbered, f"{words.token}:{grouped(digits)}"])
    told = {"entered": entered}
    # First what must not be missing; its place in the text is another matter.
    wanted = [("meter", meter), ("units", units), ("first", words.enter_first), ("date", date),
              ("amount", amount)]  # fmt: skip
    wanted.insert(0 if lead == words.copy else len(wanted), ("lead", lead))
    for place, part in wanted:
        longer = told | {place: part}
        text = _in_places(longer)
        if part and fits_one_part(text):
            told = longer
    return _in_places(told)


def _in_places(parts: Mapping[str, str]) -> str:
    places = ("lead", "meter", "first", "entered", "date", "units", "amount")
    return " ".join([parts[place] for place in places if place in parts])


@lru_cache(maxsize=REMEMBERED)
def _minute(local_time: datetime, _zone: tzinfo | None) -> str:
    # All receipts of a batch have the same instant. Instants of two zones may be equal and yet
    # are written differently, hence the zone.
    return f"{local_time:%Y%m%d %H:%M}"


def _framed(text: str, *, help_sentence: str, utility_name: str) -> str:
    helped = f"{text} {help_sentence}".rstrip()
    told = _first_that_fits(helped, text)
    room = PART_SEPTETS - (septets(told) or 0) - len(": ")
    name = cut(fold(utility_name).strip(), min(_NAME_SEPTETS_MAX, max(room, 0)))
    return f"{name}: {told}" if name else told


def _help(words: _Words, help_line: str) -> str:
    number = cut(fold(help_line).strip(), _HELP_SEPTETS_MAX)
    return words.help.format(help=number) if number else ""


def _first_that_fits(*texts: str) -> str:
    *fuller, shortest = texts
    return next((text for text in fuller if fits_one_part(text)), shortest)


def _money(currency_symbol: str, minor: int) -> str:
    return _symbol(currency_symbol) + money_text(minor)


def _symbol(text: str) -> str:
    return cut(fold(text).strip(), _SYMBOL_SEPTETS_MAX)


def _reference(text: str) -> str:
    return cut(fold(text), _REFERENCE_SEPTETS_MAX)


def _words(language: str) -> _Words:
    return _WORDS.get(language, _ENGLISH)
