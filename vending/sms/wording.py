"""What our messages say, in English and Swahili: always GSM-7, always one part.

Pure: values in, text out. Money is in cents, energy in watt-hours, and `local_time` is already in
the utility's own zone. What must be read (the token, the receipt number, what to do) is never
shortened; names are, and amounts beyond anything paid by phone drop lesser fields instead.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from vending.quantities import energy_text, money_text
from vending.sms.gsm7 import PART_SEPTETS, REMEMBERED, cut, fold, septets

LANGUAGES = ("en", "sw")
"""The languages we write; any other is answered in the first."""

_GROUP = 4
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

    `energy_minor` is what bought units and `other_minor` everything else, so that the two sum to
    `tender_minor`. The name leads when there is room for it. `codes` of a key change stand above
    the token, numbered, in the order they are keyed in; what they leave no room for is left out.
    """
    return _receipt(
        _words(language), meter_number=meter_number, digits=digits, codes=codes,
        local_time=local_time, energy_wh=energy_wh,
        amounts=(tender_minor, energy_minor, other_minor),
        currency_symbol=currency_symbol, lead=cut(fold(utility_name), _NAME_SEPTETS_MAX),
    )  # fmt: skip


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
    words = _words(language)
    return _receipt(
        words, meter_number=meter_number, digits=digits, codes=codes,
        local_time=local_time, energy_wh=energy_wh,
        amounts=(tender_minor, energy_minor, other_minor),
        currency_symbol=currency_symbol, lead=words.copy,
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


def _receipt(  # noqa: PLR0913 -- the parts of one text
    words: _Words,
    *,
    meter_number: str,
    digits: str,
    codes: Sequence[str],
    local_time: datetime,
    energy_wh: int,
    amounts: tuple[int, int, int],
    currency_symbol: str,
    lead: str,
) -> str:
    tender_minor, energy_minor, other_minor = amounts
    if codes:
        return _rekeyed(
            words, codes, digits, meter=f"{words.meter}:{meter_number}", lead=lead,
            date=f"{words.date}:{_minute(local_time)}",
            units=f"{words.units}:{energy_text(energy_wh)}",
            amount=f"{words.amount}:{_money(currency_symbol, tender_minor)}",
        )  # fmt: skip
    sold = (
        f"{words.meter}:{meter_number} {words.token}:{grouped(digits)} "
        f"{words.date}:{_minute(local_time)} {words.units}:{energy_text(energy_wh)}"
    )
    plain = f"{words.amount}:{money_text(tender_minor)}"
    priced = f"{words.amount}:{_money(currency_symbol, tender_minor)}"
    split = (
        f"{words.token_amount}:{money_text(energy_minor)} "
        f"{words.other_charges}:{money_text(other_minor)}"
    )
    fullest = f"{lead} {sold} {priced} {split}" if lead else f"{sold} {priced} {split}"
    if fits_one_part(fullest):
        return fullest
    return _first_that_fits(
        f"{sold} {priced} {split}", f"{sold} {plain} {split}", f"{sold} {plain}"
    )


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
def _minute(local_time: datetime) -> str:
    # All receipts of a batch have the same instant.
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
    return cut(fold(currency_symbol).strip(), _SYMBOL_SEPTETS_MAX) + money_text(minor)


def _reference(text: str) -> str:
    return cut(fold(text), _REFERENCE_SEPTETS_MAX)


def _words(language: str) -> _Words:
    return _WORDS.get(language, _ENGLISH)
