"""Meter numbers: check digits, the three forms people give them in, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn

from tests.builders import a_meter
from vending.meters import check_digits
from vending.meters.check_digits import luhn_digit, luhn_holds
from vending.meters.meter import (
    MeterBlocked,
    MeterNumberMalformed,
    MeterRemoved,
    meter_pan,
    parse_meter_number,
    require_active,
)

DIGITS = st.text("0123456789", min_size=1, max_size=40)
BODIES = st.one_of(
    st.text("0123456789", min_size=10, max_size=10), st.text("0123456789", min_size=12, max_size=12)
)


@given(DIGITS)
def test_the_check_digit_is_the_one_python_stdnum_makes(digits: str) -> None:
    assert luhn_digit(digits) == luhn.calc_check_digit(digits)
    assert luhn_holds(digits.encode()) == luhn.is_valid(digits)


@pytest.mark.parametrize(
    ("pan", "drn"),
    [
        ("600727000000000009", "00000000000"),
        ("600727111111111153", "11111111115"),
        ("000001000000000082", "0100000000008"),
    ],
)
def test_the_association_s_meter_pans_are_their_meters(pan: str, drn: str) -> None:
    assert parse_meter_number(pan) == drn
    assert meter_pan(drn) == pan


@pytest.mark.parametrize("text", ["12345678903", "11111111115", "0100000000008"])
def test_the_association_s_valid_numbers_are_taken(text: str) -> None:
    assert parse_meter_number(text) == text


@pytest.mark.parametrize(
    "text", ["1234 5678 903", " 12345678903\n", "1234-5678-903", "1234\u20135678903"]
)
def test_spaces_and_hyphens_do_not_matter(text: str) -> None:
    assert parse_meter_number(text) == "12345678903"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" - ", "empty"),
        ("12345678904", "check_digit"),
        ("11111111113", "check_digit"),
        ("0100000000009", "check_digit"),
        ("1234567890", "length"),
        ("123456789037", "length"),
        ("0" * 5_000, "length"),
        ("1234567890A", "not_digits"),
        ("١٢٣٤٥٦٧٨٩٠٣", "not_digits"),
        ("1234567890²", "not_digits"),
        ("+12345678903", "not_digits"),
        ("600727111111111154", "pan_check_digit"),
        ("000001000000000083", "pan_check_digit"),
        ("123456123456789036", "pan_issuer"),
    ],
)
def test_anything_else_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(MeterNumberMalformed) as refused:
        parse_meter_number(text)
    assert refused.value.facts["reason"] == reason


def test_a_pan_whose_own_digit_holds_but_the_meter_s_does_not_is_refused() -> None:
    body = "600727" + "12345678904"
    with pytest.raises(MeterNumberMalformed) as refused:
        parse_meter_number(body + luhn_digit(body))
    assert refused.value.facts["reason"] == "check_digit"


def test_a_refusal_does_not_repeat_what_was_typed() -> None:
    with pytest.raises(MeterNumberMalformed) as refused:
        parse_meter_number("0712345678")
    assert "0712345678" not in str(refused.value)


@given(BODIES)
def test_a_number_survives_its_pan(body: str) -> None:
    number = body + luhn_digit(body)
    assert parse_meter_number(meter_pan(number)) == number == parse_meter_number(number)


@given(BODIES, st.data())
def test_one_wrong_digit_never_passes(body: str, data: st.DataObject) -> None:
    number = body + luhn_digit(body)
    place = data.draw(st.integers(0, len(number) - 1))
    wrong = str((int(number[place]) + data.draw(st.integers(1, 9))) % 10)
    with pytest.raises(MeterNumberMalformed):
        parse_meter_number(number[:place] + wrong + number[place + 1 :])


@given(st.text(max_size=40))
def test_no_text_does_worse_than_be_refused(text: str) -> None:
    try:
        number = parse_meter_number(text)
    except MeterNumberMalformed:
        return
    assert len(number) in {11, 13}
    assert luhn.is_valid(number)


@given(
    st.lists(
        st.one_of(
            BODIES.map(lambda body: body + luhn_digit(body)),
            st.text("0123456789", min_size=11, max_size=13),
            st.text(max_size=13),
            st.just("١٢٣٤٥٦٧٨٩٠٣"),
        )
    )
)
def test_a_column_s_suspects_are_those_that_fail_one_by_one(numbers: list[str]) -> None:
    fine = [len(text) in {11, 13} and text.isascii() and luhn.is_valid(text) for text in numbers]
    suspects = check_digits.suspects(numbers)
    assert sorted(suspects) == [at for at, is_fine in enumerate(fine) if not is_fine]


def test_only_an_active_meter_may_be_sold_to() -> None:
    require_active(a_meter())
    with pytest.raises(MeterBlocked):
        require_active(a_meter(status="blocked"))
    with pytest.raises(MeterRemoved):
        require_active(a_meter(status="removed"))


def test_phones_are_not_shown_with_the_record() -> None:
    assert "712345678" not in repr(a_meter(phones=("+254712345678",)))
