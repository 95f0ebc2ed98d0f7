"""Every message is GSM-7 and one part, whatever it is told; and says what the golden files say."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import errors_page
from vending.errors import Refused
from vending.sms import gsm7, wording
from vending.sms.gsm7 import PART_SEPTETS, septets

GOLDEN = Path(__file__).parents[1] / "golden" / "sms"
DIGITS = "47182039556108472296"
CODES = tuple(f"{place}0218{4718203955610:015d}" for place in (5, 2, 3, 6))
RECEIPT: dict[str, Any] = {
    "meter_number": "14123456783",
    "digits": DIGITS,
    "local_time": datetime(2026, 7, 14, 18, 22, tzinfo=ZoneInfo("Africa/Nairobi")),
    "energy_wh": 15_900,
    "tender_minor": 50_000,
    "energy_minor": 30_912,
    "other_minor": 19_088,
    "currency_symbol": "KSh",
}
SENTENCE: dict[str, Any] = {
    "receipt_number": "SGL1AB2CDE",
    "tender_minor": 50_000,
    "currency_symbol": "KSh",
    "help_line": "97771",
    "utility_name": "Demo Power",
}


def every_text(language: str) -> dict[str, str]:
    texts = {
        "receipt": wording.receipt(language, **RECEIPT, utility_name="Demo Power"),
        "receipt-unnamed": wording.receipt(language, **RECEIPT),
        "receipt-key_change": wording.receipt(
            language, **RECEIPT, codes=CODES[:2], utility_name="Demo Power"
        ),
        "receipt-key_change_of_four": wording.receipt(language, **RECEIPT, codes=CODES),
        "copy": wording.copy(language, **RECEIPT),
        "copy-key_change": wording.copy(language, **RECEIPT, codes=CODES[:2]),
        "coming": wording.coming(language, account_reference="14123456783", **SENTENCE),
    }
    for reason in (*wording.known_reasons(), "anything_else"):
        texts[f"refund_due-{reason}"] = wording.refund_due(language, reason=reason, **SENTENCE)
    return texts


@pytest.mark.parametrize("language", wording.LANGUAGES)
def test_the_texts_are_the_golden_ones(language: str) -> None:
    for name, text in every_text(language).items():
        golden = (GOLDEN / f"{name}.{language}.txt").read_text(encoding="utf-8")
        assert text == golden.removesuffix("\n"), name


def test_no_golden_text_is_left_over() -> None:
    written = {
        f"{name}.{language}.txt" for language in wording.LANGUAGES for name in every_text(language)
    }
    assert {path.name for path in GOLDEN.glob("*.txt")} == written


amounts = st.integers(0, 2**63 - 1)
languages = st.sampled_from([*wording.LANGUAGES, "fr", ""])
wild = st.text(max_size=400)
receipts = st.fixed_dictionaries(
    {
        "meter_number": st.sampled_from(["14123456783", "0412345678301"]),
        "digits": st.integers(0, 2**66 - 1).map(lambda number: f"{number:020d}"),
        "local_time": st.datetimes(timezones=st.just(ZoneInfo("Africa/Nairobi"))),
        "energy_wh": st.integers(100, 1_820_162_400),
        "tender_minor": amounts,
        "energy_minor": amounts,
        "other_minor": amounts,
        "currency_symbol": wild,
    }
)


@given(languages, receipts, wild)
def test_a_receipt_is_one_part_and_keeps_its_token(
    language: str, facts: dict[str, Any], name: str
) -> None:
    for text in (
        wording.receipt(language, **facts, utility_name=name),
        wording.copy(language, **facts),
    ):
        assert wording.fits_one_part(text)
        assert "\n" not in text
        assert "\r" not in text
        assert wording.grouped(facts["digits"]) in text
        assert facts["meter_number"] in text


@given(languages, receipts, wild, st.integers(2, 4))
def test_codes_stand_above_the_token_in_order_and_nothing_of_them_is_left_out(
    language: str, facts: dict[str, Any], name: str, count: int
) -> None:
    for text in (
        wording.receipt(language, **facts, codes=CODES[:count], utility_name=name),
        wording.copy(language, **facts, codes=CODES[:count]),
    ):
        assert wording.fits_one_part(text)
        places = [text.index(wording.grouped(digits)) for digits in CODES[:count]]
        places.append(text.rindex(wording.grouped(facts["digits"])))
        assert places == sorted(places)
        numbered = [f"{place}:{wording.grouped(code)}" for place, code in enumerate(CODES, 1)]
        assert all(code in text for code in numbered[:count])
        if count < 4:
            assert facts["meter_number"] in text


@given(languages, wild, wild, amounts, wild, wild, wild)
def test_a_sentence_is_one_part(
    language: str, reason: str, receipt: str, tender: int, symbol: str, help_line: str, name: str
) -> None:
    for code in (*wording.known_reasons(), reason):
        text = wording.refund_due(
            language, reason=code, receipt_number=receipt, tender_minor=tender,
            currency_symbol=symbol, help_line=help_line, utility_name=name,
        )  # fmt: skip
        assert wording.fits_one_part(text)
        assert "\n" not in text
    for reference in (reason, "14123456783"):
        text = wording.coming(
            language, account_reference=reference, receipt_number=receipt, tender_minor=tender,
            currency_symbol=symbol, help_line=help_line, utility_name=name,
        )  # fmt: skip
        assert wording.fits_one_part(text)
        assert "\n" not in text


def test_an_ordinary_receipt_drops_nothing() -> None:
    text = wording.receipt("en", **RECEIPT, utility_name="Demo Power")
    for part in ("Demo Power", "KSh500.00", "309.12", "190.88", "15.9", "4718-2039-5561-0847-2296"):
        assert part in text


def test_a_long_name_is_shortened_and_the_token_is_not() -> None:
    name = "The Very Long Name of a National Electricity Utility"
    text = wording.receipt("sw", **RECEIPT, utility_name=name)
    assert text.startswith("The Very Long Name o Mita:")
    assert wording.grouped(DIGITS) in text


def test_per_cent_signs_in_a_name_and_a_symbol_are_only_letters() -> None:
    text = wording.receipt("en", **{**RECEIPT, "currency_symbol": "%s%%"}, utility_name="100% %d")
    assert text.startswith("100% %d Mtr:14123456783 Token:4718-")
    assert " Amt:%s%%500.00 TknAmt:309.12 OtherCharges:190.88" in text


def test_letters_of_two_septets_leave_less_room_for_what_comes_after_them() -> None:
    facts = {**RECEIPT, "tender_minor": 10**13, "energy_minor": 10**13, "other_minor": 0}
    plain = wording.receipt("sw", **facts, utility_name="abcdefgh")
    assert len(plain) == PART_SEPTETS - 5
    assert plain.startswith("abcdefgh Mita:")
    assert wording.receipt("sw", **facts, utility_name="abc[{}]~").startswith("abc[{}]~ Mita:")
    assert wording.receipt("sw", **facts, utility_name="ab[{}]~|").startswith("Mita:")


def test_one_instant_is_written_in_the_time_of_each_zone() -> None:
    at = datetime(2026, 7, 14, 15, 22, tzinfo=UTC)
    for zone, written in (("Africa/Nairobi", "18:22"), ("Africa/Lagos", "16:22"), ("UTC", "15:22")):
        local = {**RECEIPT, "local_time": at.astimezone(ZoneInfo(zone))}
        assert f"Date:20260714 {written} " in wording.receipt("en", **local)


def test_letters_outside_the_alphabet_are_folded() -> None:
    text = wording.coming(
        "en",
        account_reference="14123456783",
        **{**SENTENCE, "utility_name": "Énergie \u2018Ŋ\u2019 \u96fb"},
    )
    assert text.startswith("Énergie '?' ?: ")


def test_amounts_beyond_anything_paid_drop_the_split_first() -> None:
    huge = {**RECEIPT, "tender_minor": 2**63 - 1, "energy_minor": 2**62, "other_minor": 2**62}
    assert "OtherCharges" not in wording.receipt("en", **huge)
    assert "Amt:92233720368547758.07" in wording.receipt("en", **huge)


def test_a_message_without_a_help_line_does_not_promise_one() -> None:
    text = wording.refund_due("en", reason="meter_unknown", **{**SENTENCE, "help_line": ""})
    assert text.endswith("due back to you.")


def test_every_reason_has_words_in_every_language() -> None:
    for reason in wording.known_reasons():
        told = {wording.refund_reason(language, reason) for language in wording.LANGUAGES}
        assert len(told) == len(wording.LANGUAGES)
        general = {wording.refund_reason(language, "") for language in wording.LANGUAGES}
        assert not told & general


def test_the_reasons_with_words_are_codes_of_refusals() -> None:
    codes = {kind.code for kind in errors_page.kinds() if issubclass(kind, Refused)}
    assert set(wording.known_reasons()) <= codes


@given(st.text())
def test_septets_count_escapes_twice(text: str) -> None:
    counted = septets(text)
    if counted is not None:
        assert counted == len(text) + sum(text.count(letter) for letter in "\f^{}\\[~]|€")


def test_the_alphabet_is_the_whole_of_its_table() -> None:
    assert len(gsm7._BASIC) == 127  # 128 positions less the escape
    assert len(gsm7._EXTENDED) == 10
    assert PART_SEPTETS == 160
