"""Phones: every way a Kenyan writes one is one number."""

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vending.meters.phone import PhoneMalformed, e164


@pytest.mark.parametrize(
    "text", ["0712345678", "+254712345678", "254712345678", "0712 345 678", "+254 (712) 345-678"]
)
def test_every_way_of_writing_it_is_one_number(text: str) -> None:
    assert e164(text, country="KE") == "+254712345678"


def test_a_neighbour_s_number_is_read_in_its_own_country() -> None:
    assert e164("0772123456", country="UG") == "+256772123456"
    assert e164("+256772123456", country="KE") == "+256772123456"


@pytest.mark.parametrize("text", ["", "phone", "12", "0" * 200, "+999123456789", "07123456789012"])
def test_what_nobody_could_call_is_refused(text: str) -> None:
    with pytest.raises(PhoneMalformed):
        e164(text, country="KE")


@given(st.integers(0, 10**8 - 1))
def test_the_short_way_through_agrees_with_the_full_parser(rest: int) -> None:
    local = f"07{rest:08d}"
    number = phonenumbers.parse(local, "KE")
    assert phonenumbers.is_valid_number(number)
    assert e164(local, country="KE") == f"+{number.country_code}{number.national_number}"
