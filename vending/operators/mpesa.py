"""M-PESA's customer-to-business dialect (Safaricom Daraja C2B, v1 and v2): bytes in, bytes out.

Validation and confirmation carry the same members. Versions differ only in what MSISDN shows of
the payer: v1 a SHA-256 hash, v2 a masked number, older set-ups the number itself.

The documents promise strings; some senders write numbers for amounts, stamps and short codes. A
number is therefore taken as its own decimal text, and no float is ever made of it. What is not
read is ignored. What is refused, with NoticeMalformed naming the member and the reason:

* anything but one JSON object in UTF-8 (a byte-order mark in front is tolerated), nested deeper
  than a flat callback could ever be, or with trailing text;
* an object that names a member twice, even with equal values: readers that keep the first and
  readers that keep the last would see different payments;
* a wanted member of another type, shape or range than the functions below say.
"""

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, NoReturn

import msgspec

from vending.payments.payment import NoticeMalformed, PayerKind, PaymentNotice
from vending.values import Value

OPERATOR: Final = "mpesa"
"""The operator's name in payments, routes and metrics."""

AMOUNT_MINOR_MAX: Final = 2**63 - 1
"""The largest amount a PostgreSQL bigint holds."""

_REFERENCE_MAX = 64
_PAYER_MAX = 128
_BRACKETS_MAX = 32
"""Opening brackets in a body. A callback has one; counting is cheap and bounds the depth."""

_REMEMBERED = 1_024
"""Stamps and amounts whose meaning is remembered: payments of a second share the one, and most
people pay the same few sums."""

_WHITE_SPACE = " \t\n\r"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_EAST_AFRICA = timezone(timedelta(hours=3))

# [0-9] and not \d, which also matches the digits of other scripts.
_TRANSACTION_ID = re.compile(r"[A-Z0-9]{6,32}")
_SHORT_CODE = re.compile(r"[0-9]{3,12}")
_STAMP = re.compile(r"[0-9]{14}")
_AMOUNT = re.compile(r"([0-9]{1,19})(?:\.([0-9]{1,19}))?")
_HASH = re.compile(r"[0-9a-fA-F]{64}")
_PHONE = re.compile(r"\+?[0-9]{9,15}")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class ValidationCode(StrEnum):
    """M-PESA's answers to a validation, as they go on the wire."""

    ACCEPTED = "0"
    INVALID_MSISDN = "C2B00011"
    INVALID_ACCOUNT = "C2B00012"
    INVALID_AMOUNT = "C2B00013"
    INVALID_KYC = "C2B00014"
    INVALID_SHORT_CODE = "C2B00015"
    OTHER_ERROR = "C2B00016"


_CODE_OF_FIELD: Final = {
    "BillRefNumber": ValidationCode.INVALID_ACCOUNT,
    "TransAmount": ValidationCode.INVALID_AMOUNT,
    "BusinessShortCode": ValidationCode.INVALID_SHORT_CODE,
    "MSISDN": ValidationCode.INVALID_MSISDN,
}


class ValidationRequest(Value, frozen=True, kw_only=True):
    """The operator asks whether a payment may go ahead; no money has moved.

    `account_reference` is what the payer typed, trimmed; it may not be a meter at all.
    """

    hidden = frozenset({"payer"})

    transaction_id: str
    short_code: str
    account_reference: str
    amount_minor: int
    payer: str
    payer_kind: PayerKind


def notice(body: bytes) -> PaymentNotice:
    """Return the payment that a confirmation reports. Raises NoticeMalformed.

    The account reference may be empty or belong to nobody: the money has moved all the same.
    """
    members = _members(body)
    payer = _text(members, "MSISDN", longest=_PAYER_MAX)
    return PaymentNotice(
        operator=OPERATOR,
        transaction_id=_matching(members, "TransID", _TRANSACTION_ID),
        short_code=_matching(members, "BusinessShortCode", _SHORT_CODE),
        account_reference=_text(members, "BillRefNumber", longest=_REFERENCE_MAX),
        amount_minor=_amount_minor(members),
        paid_at=_paid_at(members),
        payer=payer,
        payer_kind=_payer_kind(payer),
        raw=body,
    )


def validation(body: bytes) -> ValidationRequest:
    """Return what a validation asks. Raises NoticeMalformed.

    The time of payment is not looked at: there is no payment yet.
    """
    members = _members(body)
    payer = _text(members, "MSISDN", longest=_PAYER_MAX)
    return ValidationRequest(
        transaction_id=_matching(members, "TransID", _TRANSACTION_ID),
        short_code=_matching(members, "BusinessShortCode", _SHORT_CODE),
        account_reference=_text(members, "BillRefNumber", longest=_REFERENCE_MAX),
        amount_minor=_amount_minor(members),
        payer=payer,
        payer_kind=_payer_kind(payer),
    )


def refusal_of(malformed: NoticeMalformed) -> ValidationCode | None:
    """Return the validation answer for a member that is wrong; None when no object was sent.

    A readable question deserves the operator's own "no": a bare HTTP error would leave the payment
    to the operator's default, which may be to let it through.
    """
    member = malformed.facts.get("field")
    if not isinstance(member, str) or not member:
        return None
    return _CODE_OF_FIELD.get(member, ValidationCode.OTHER_ERROR)


_REFUSALS: Final = {
    code: msgspec.json.encode({"ResultCode": code.value, "ResultDesc": "Rejected"})
    for code in ValidationCode
    if code is not ValidationCode.ACCEPTED
}
_ACCEPTED = b'{"ResultCode":"0","ResultDesc":"Accepted"}'
_RECEIVED = b'{"ResultCode":0,"ResultDesc":"Success"}'


def validation_reply(code: ValidationCode, *, third_party_id: str = "") -> bytes:
    """Return the answer to a validation.

    ResultCode is a string, "0" included: the operator's own client models refuse an integer here.
    `third_party_id` is ours and comes back as ThirdPartyTransID in the confirmation; it goes with
    an acceptance only.
    """
    if code is not ValidationCode.ACCEPTED:
        return _REFUSALS[code]
    if not third_party_id:
        return _ACCEPTED
    return msgspec.json.encode(
        {"ResultCode": "0", "ResultDesc": "Accepted", "ThirdPartyTransID": third_party_id}
    )


def confirmation_reply() -> bytes:
    """Return the one acknowledgement of a confirmation. ResultCode is an integer here."""
    return _RECEIVED


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NoticeMalformed(reason="member_twice", field="")
    return members


def _no_constant(_name: str) -> NoReturn:
    raise NoticeMalformed(reason="not_json", field="")


# Numbers stay the text they were written in. msgspec would be faster still, but keeps the last of
# two members without a word.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_once, parse_int=str, parse_float=str, parse_constant=_no_constant
)


def _members(body: bytes) -> dict[str, Any]:
    body = body.removeprefix(_BYTE_ORDER_MARK)
    if body.count(b"{") + body.count(b"[") > _BRACKETS_MAX:
        raise NoticeMalformed(reason="too_deep", field="")
    try:
        # As the decoder's own `decode` does, which looks for white space at more cost.
        text = body.decode("utf-8").strip(_WHITE_SPACE)
        members, end = _DECODER.raw_decode(text)
    except UnicodeDecodeError:
        raise NoticeMalformed(reason="not_utf8", field="") from None
    except ValueError:
        raise NoticeMalformed(reason="not_json", field="") from None
    if end != len(text):
        raise NoticeMalformed(reason="not_json", field="")
    if not isinstance(members, dict):
        raise NoticeMalformed(reason="not_an_object", field="")
    return members


def _text(members: dict[str, Any], name: str, *, longest: int) -> str:
    """Return a member as trimmed text: absent and null are empty."""
    value = members.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise NoticeMalformed(reason="type", field=name)
    value = value.strip()
    if len(value) > longest:
        raise NoticeMalformed(reason="length", field=name)
    # Neither can be stored as text: PostgreSQL has no NUL, UTF-8 no half of a surrogate pair.
    if not value.isascii() and _SURROGATE.search(value):
        raise NoticeMalformed(reason="not_text", field=name)
    if "\0" in value:
        raise NoticeMalformed(reason="not_text", field=name)
    return value


def _matching(members: dict[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    text = _text(members, name, longest=_REFERENCE_MAX)
    if not text:
        raise NoticeMalformed(reason="missing", field=name)
    if pattern.fullmatch(text) is None:
        raise NoticeMalformed(reason="pattern", field=name)
    return text


def _amount_minor(members: dict[str, Any]) -> int:
    text = _text(members, "TransAmount", longest=_REFERENCE_MAX)
    if not text:
        raise NoticeMalformed(reason="missing", field="TransAmount")
    return _cents(text)


@lru_cache(maxsize=_REMEMBERED)
def _cents(amount: str) -> int:
    parts = _AMOUNT.fullmatch(amount)
    if parts is None:
        raise NoticeMalformed(reason="pattern", field="TransAmount")
    whole, decimals = parts.groups(default="")
    if decimals[2:].strip("0"):
        raise NoticeMalformed(reason="fraction_of_a_cent", field="TransAmount")
    amount_minor = int(whole) * 100 + int(decimals[:2].ljust(2, "0"))
    if not 0 < amount_minor <= AMOUNT_MINOR_MAX:
        raise NoticeMalformed(reason="range", field="TransAmount")
    return amount_minor


def _paid_at(members: dict[str, Any]) -> datetime:
    """Return TransTime, which is East Africa Time without saying so, in UTC."""
    stamp = _text(members, "TransTime", longest=_REFERENCE_MAX)
    if not stamp:
        raise NoticeMalformed(reason="missing", field="TransTime")
    return _instant(stamp)


@lru_cache(maxsize=_REMEMBERED)
def _instant(stamp: str) -> datetime:
    if _STAMP.fullmatch(stamp) is None:
        raise NoticeMalformed(reason="pattern", field="TransTime")
    try:
        return datetime(
            int(stamp[:4]), int(stamp[4:6]), int(stamp[6:8]), int(stamp[8:10]),
            int(stamp[10:12]), int(stamp[12:]), tzinfo=_EAST_AFRICA,
        ).astimezone(UTC)  # fmt: skip
    except (ValueError, OverflowError):
        raise NoticeMalformed(reason="not_a_time", field="TransTime") from None


def _payer_kind(payer: str) -> PayerKind:
    """Return how the payer is shown; what is neither number nor hash counts as masked."""
    if not payer:
        return PayerKind.ABSENT
    if _PHONE.fullmatch(payer):
        return PayerKind.CLEAR
    if _HASH.fullmatch(payer):
        return PayerKind.HASHED
    return PayerKind.MASKED
