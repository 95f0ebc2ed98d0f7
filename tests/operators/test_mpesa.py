"""The M-PESA dialect: what is read, what is refused and why, and the exact bytes of our answers."""

import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

from vending.operators import mpesa
from vending.operators.mpesa import ValidationCode
from vending.payments.payment import NoticeMalformed, PayerKind

GOLDEN = Path(__file__).parent.parent / "golden" / "mpesa"
BODIES = sorted(path for path in GOLDEN.glob("*.json") if path.name != "replies.json")

PAID: dict[str, Any] = {
    "TransactionType": "Pay Bill",
    "TransID": "TGE7Q2M4ZK",
    "TransTime": "20260714182231",
    "TransAmount": "500.00",
    "BusinessShortCode": "888880",
    "BillRefNumber": "14123456783",
    "InvoiceNumber": "",
    "OrgAccountBalance": "49873422.00",
    "ThirdPartyTransID": "",
    "MSISDN": "2547 ***** 149",
    "FirstName": "ACHIENG",
}


def body(**changes: Any) -> bytes:
    """Return a confirmation with some members changed; None leaves a member out."""
    members = {k: v for k, v in {**PAID, **changes}.items() if v is not None}
    return json.dumps(members).encode()


def raw(member: str, text: str) -> bytes:
    """Return a confirmation in which one member has exactly this JSON text."""
    return body(**{member: "@@"}).replace(b'"@@"', text.encode())


def refused(sent: bytes) -> tuple[str, str]:
    with pytest.raises(NoticeMalformed) as caught:
        mpesa.notice(sent)
    return str(caught.value.facts["field"]), str(caught.value.facts["reason"])


@pytest.mark.parametrize("path", BODIES, ids=lambda path: path.stem)
def test_every_known_callback_body_is_read_as_recorded(path: Path) -> None:
    golden = json.loads(path.read_text())
    sent = json.dumps(golden["body"]).encode()
    read = mpesa.notice(sent) if golden["call"] == "confirm" else mpesa.validation(sent)
    facts = asdict(read)
    for name, value in golden["read"].items():
        found = facts[name].isoformat() if name == "paid_at" else facts[name]
        assert found == value, name


def test_every_known_reply_is_written_as_recorded() -> None:
    replies = json.loads((GOLDEN / "replies.json").read_text())
    ours = {
        "validation.accept": mpesa.validation_reply(ValidationCode.ACCEPTED),
        "validation.accept_with_ref": mpesa.validation_reply(
            ValidationCode.ACCEPTED, third_party_id="01K04Q9T6X5M8N2R"
        ),
        "confirmation.ack": mpesa.confirmation_reply(),
    } | {
        f"validation.reject.{code}": mpesa.validation_reply(code, third_party_id="never shown")
        for code in ValidationCode
        if code is not ValidationCode.ACCEPTED
    }
    assert {name: json.loads(reply) for name, reply in ours.items()} == replies


def test_the_notice_keeps_the_body_as_it_came() -> None:
    sent = b"\xef\xbb\xbf  " + body() + b"\r\n"
    assert mpesa.notice(sent).raw == sent


def test_neither_the_payer_nor_the_body_shows_in_a_repr() -> None:
    shown = repr(mpesa.notice(body(MSISDN="254708374149")))
    assert "254708374149" not in shown
    assert "ACHIENG" not in shown
    assert "254708374149" not in repr(mpesa.validation(body(MSISDN="254708374149")))


@pytest.mark.parametrize(
    ("text", "amount_minor"),
    [
        ('"500.00"', 50_000),
        ('"500"', 50_000),
        ('"500.5"', 50_050),
        ('"500.500"', 50_050),
        ('"0.01"', 1),
        ('" 500.00 "', 50_000),
        ('"00500.00"', 50_000),
        ("500", 50_000),
        ("500.0", 50_000),
        ("0.29", 29),
        ("1.15", 115),
        ("92233720368547758.07", 2**63 - 1),
    ],
)
def test_an_amount_is_read_to_the_cent_from_text_and_from_numbers(
    text: str, amount_minor: int
) -> None:
    assert mpesa.notice(raw("TransAmount", text)).amount_minor == amount_minor


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('"0"', "range"),
        ("0.00", "range"),
        ('"92233720368547758.08"', "range"),
        ('"9999999999999999999"', "range"),
        ("1" * 60, "pattern"),
        ("1" * 65, "length"),
        ("-500", "pattern"),
        ('"-500"', "pattern"),
        ('"+500"', "pattern"),
        ('"1e3"', "pattern"),
        ("1e3", "pattern"),
        ("5E+2", "pattern"),
        ('"500.001"', "fraction_of_a_cent"),
        ("0.009", "fraction_of_a_cent"),
        ('"1,000.00"', "pattern"),
        ('"500."', "pattern"),
        ('".50"', "pattern"),
        ('"NaN"', "pattern"),
        ('"Infinity"', "pattern"),
        ('"\u0665\u0660\u0660"', "pattern"),
        ('"\\uff15\\uff10\\uff10"', "pattern"),
        ('"5 00"', "pattern"),
        ('"500\\u0000"', "not_text"),
        ('""', "missing"),
        ("null", "missing"),
        ("true", "type"),
        ("[500]", "type"),
        ('{"amount":500}', "type"),
    ],
)
def test_an_amount_that_is_not_plain_positive_money_is_refused(text: str, reason: str) -> None:
    assert refused(raw("TransAmount", text)) == ("TransAmount", reason)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity", "01", "1.", "+1", "0x1F4"])
def test_a_number_that_json_does_not_have_is_refused(constant: str) -> None:
    assert refused(raw("TransAmount", constant)) == ("", "not_json")


@given(st.integers(min_value=1, max_value=2**63 - 1))
def test_every_amount_survives_as_text_and_as_number(amount_minor: int) -> None:
    text = f"{amount_minor // 100}.{amount_minor % 100:02d}"
    assert mpesa.notice(raw("TransAmount", text)).amount_minor == amount_minor
    assert mpesa.notice(body(TransAmount=text)).amount_minor == amount_minor


@pytest.mark.parametrize(
    ("stamp", "paid_at"),
    [
        ("20260714182231", datetime(2026, 7, 14, 15, 22, 31, tzinfo=UTC)),
        (20260714182231, datetime(2026, 7, 14, 15, 22, 31, tzinfo=UTC)),
        ("20260101020000", datetime(2025, 12, 31, 23, 0, tzinfo=UTC)),
        ("20240229120000", datetime(2024, 2, 29, 9, 0, tzinfo=UTC)),
        ("99991231235959", datetime(9999, 12, 31, 20, 59, 59, tzinfo=UTC)),
    ],
)
def test_the_time_of_payment_is_east_africa_time(stamp: object, paid_at: datetime) -> None:
    assert mpesa.notice(body(TransTime=stamp)).paid_at == paid_at


@pytest.mark.parametrize(
    ("stamp", "reason"),
    [
        ("20260230120000", "not_a_time"),
        ("20260714240000", "not_a_time"),
        ("20260714182260", "not_a_time"),
        ("20261301120000", "not_a_time"),
        ("00000101000000", "not_a_time"),
        ("00010101000000", "not_a_time"),
        ("2026-07-14T18:22:31", "pattern"),
        ("2026071418223", "pattern"),
        ("\uff12026071418223\uff11", "pattern"),
        (2.0260714182231e13, "pattern"),
        ("", "missing"),
        (None, "missing"),
    ],
)
def test_a_stamp_that_is_no_instant_is_refused(stamp: object, reason: str) -> None:
    assert refused(body(TransTime=stamp)) == ("TransTime", reason)


@pytest.mark.parametrize(
    ("shown", "payer", "kind"),
    [
        ("254708374149", "254708374149", PayerKind.CLEAR),
        ("+254708374149", "+254708374149", PayerKind.CLEAR),
        ("0708374149", "0708374149", PayerKind.CLEAR),
        (254708374149, "254708374149", PayerKind.CLEAR),
        ("2547 ***** 149", "2547 ***** 149", PayerKind.MASKED),
        ("a" * 64, "a" * 64, PayerKind.HASHED),
        ("A1" * 32, "A1" * 32, PayerKind.HASHED),
        ("a" * 63, "a" * 63, PayerKind.MASKED),
        ("a customer", "a customer", PayerKind.MASKED),
        ("  ", "", PayerKind.ABSENT),
        ("", "", PayerKind.ABSENT),
        (None, "", PayerKind.ABSENT),
    ],
    ids=repr,
)
def test_the_payer_stays_opaque_text_with_its_kind(
    shown: object, payer: str, kind: PayerKind
) -> None:
    notice = mpesa.notice(body(MSISDN=shown))
    assert (notice.payer, notice.payer_kind) == (payer, kind)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (" 1412-345 6783 ", "1412-345 6783"),
        ("meter ya mama", "meter ya mama"),
        ("07083X", "07083X"),
        (14123456783, "14123456783"),
        ("Ünïcödé", "Ünïcödé"),
        ("x" * 64, "x" * 64),
        ("", ""),
        (None, ""),
    ],
)
def test_the_account_is_kept_as_the_customer_typed_it(typed: object, kept: str) -> None:
    assert mpesa.notice(body(BillRefNumber=typed)).account_reference == kept


@pytest.mark.parametrize("name", ["BillRefNumber", "MSISDN"])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('"a\\u0000b"', "not_text"),
        ('"\\ud800"', "not_text"),
        ("false", "type"),
        ("[]", "type"),
        ("{}", "type"),
        ('"' + "x" * 129 + '"', "length"),
    ],
)
def test_text_that_cannot_be_stored_is_refused(name: str, text: str, reason: str) -> None:
    assert refused(raw(name, text)) == (name, reason)


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert mpesa.notice(raw("BillRefNumber", '"\\ud83d\\ude00"')).account_reference == "😀"


@pytest.mark.parametrize(
    ("transaction_id", "reason"),
    [
        ("tge7q2m4zk", "pattern"),
        ("TGE7 Q2M4ZK", "pattern"),
        ("TGE7Q2M4ZK; drop", "pattern"),
        ("TGE7Q", "pattern"),
        ("T" * 33, "pattern"),
        ("T" * 65, "length"),
        ("\u0422GE7Q2M4ZK", "pattern"),
        ("", "missing"),
        (None, "missing"),
        ([], "type"),
    ],
)
def test_a_transaction_id_that_is_not_the_operators_shape_is_refused(
    transaction_id: object, reason: str
) -> None:
    assert refused(body(TransID=transaction_id)) == ("TransID", reason)


def test_white_space_around_identifiers_is_not_part_of_them() -> None:
    notice = mpesa.notice(body(TransID=" TGE7Q2M4ZK\t", BusinessShortCode=" 888880\n"))
    assert (notice.transaction_id, notice.short_code) == ("TGE7Q2M4ZK", "888880")


@pytest.mark.parametrize(
    ("short_code", "reason"),
    [("88888O", "pattern"), (888880.0, "pattern"), ("12", "pattern"), ("", "missing")],
)
def test_a_short_code_that_is_not_digits_is_refused(short_code: object, reason: str) -> None:
    assert refused(body(BusinessShortCode=short_code)) == ("BusinessShortCode", reason)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", "not_json"),
        (b" ", "not_json"),
        (b"hello", "not_json"),
        (b"{", "not_json"),
        (body() + b"{}", "not_json"),
        (body()[:-1] + b",}", "not_json"),
        (body().replace(b'"', b"'"), "not_json"),
        (b'{"TransID":"TGE7\nQ2M4ZK"}', "not_json"),
        (b"[]", "not_an_object"),
        (b"null", "not_an_object"),
        (b'"TransID"', "not_an_object"),
        (b"7", "not_an_object"),
        (body().decode().encode("utf-16"), "not_utf8"),
        (body().decode().encode("utf-16-le"), "not_json"),
        (body().decode().encode("utf-32-be"), "not_json"),
        ('{"FirstName":"José"}'.encode("latin-1"), "not_utf8"),
        (b'{"FirstName":"\xed\xa0\x80"}', "not_utf8"),
        (b'{"FirstName":"\xc0\xaf"}', "not_utf8"),
        (b"\xef\xbb\xbf\xef\xbb\xbf" + body(), "not_json"),
        (b"[" * 30_000 + b"]" * 30_000, "too_deep"),
        (b'{"x":' * 9_000 + b"1" + b"}" * 9_000, "too_deep"),
        (body()[:-1] + b',"TransAmount":"900.00"}', "member_twice"),
        (body()[:-1] + b',"TransAmount":"500.00"}', "member_twice"),
        (body()[:-1] + b',"Trans\\u0041mount":"500.00"}', "member_twice"),
        (body()[:-1] + b',"x":{"a":1,"a":2}}', "member_twice"),
    ],
    ids=map(str, itertools.count()),
)
def test_bytes_that_are_not_one_plain_json_object_are_refused(sent: bytes, reason: str) -> None:
    assert refused(sent) == ("", reason)


def test_a_body_as_deep_as_is_read_at_all_is_still_read() -> None:
    sent = raw("OrgAccountBalance", "[" * 31 + "]" * 31)
    assert mpesa.notice(sent).amount_minor == 50_000
    assert refused(raw("OrgAccountBalance", "[" * 32 + "]" * 32)) == ("", "too_deep")


def test_members_that_are_not_read_may_be_anything() -> None:
    sent = raw("OrgAccountBalance", '{"deep":[1e999,null,"\\u0000"]}')
    assert mpesa.notice(sent).amount_minor == 50_000


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"TransAmount": "-1"}, ValidationCode.INVALID_AMOUNT),
        ({"BillRefNumber": []}, ValidationCode.INVALID_ACCOUNT),
        ({"BusinessShortCode": "x"}, ValidationCode.INVALID_SHORT_CODE),
        ({"MSISDN": "\0"}, ValidationCode.INVALID_MSISDN),
        ({"TransID": ""}, ValidationCode.OTHER_ERROR),
    ],
)
def test_a_wrong_member_has_the_operators_own_refusal(
    change: dict[str, object], code: ValidationCode
) -> None:
    with pytest.raises(NoticeMalformed) as caught:
        mpesa.validation(body(**change))
    assert mpesa.refusal_of(caught.value) is code


def test_what_is_no_object_has_no_refusal_of_the_operators() -> None:
    with pytest.raises(NoticeMalformed) as caught:
        mpesa.validation(b"[]")
    assert mpesa.refusal_of(caught.value) is None


def test_a_validation_needs_no_time_of_payment() -> None:
    assert mpesa.validation(body(TransTime=None)).transaction_id == "TGE7Q2M4ZK"


@given(st.binary(max_size=300))
def test_no_bytes_make_the_dialect_fail_otherwise(sent: bytes) -> None:
    for read in (mpesa.notice, mpesa.validation):
        with pytest.raises(NoticeMalformed):
            read(sent)


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.sampled_from(sorted(PAID)), _VALUES)
def test_no_value_of_a_member_makes_a_notice_that_cannot_be_stored(
    name: str, value: object
) -> None:
    try:
        notice = mpesa.notice(body(**{name: value}))
    except NoticeMalformed:
        return
    assert 0 < notice.amount_minor < 2**63
    assert notice.paid_at.tzinfo is UTC
    for text in (notice.transaction_id, notice.account_reference, notice.payer):
        assert b"\0" not in text.encode("utf-8")
