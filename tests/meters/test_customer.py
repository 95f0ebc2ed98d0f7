"""Whose meter it is: what of a name is shown, and what is due for nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import a_meter_number
from vending.meters import customer
from vending.meters.customer import NOBODY, Customer, masked
from vending.postgres.pool import Connection


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Jane Wanjiku", "J*** W******"),
        ("  Jane   Wanjiku ", "J*** W******"),
        ("J W", "* *"),
        ("Jo", "J*"),
        ("Ng'ang'a & Sons", "N******* * S***"),
        ("(Estate) 2nd Flat", "******** 2** F***"),
        ("Mu\u0304rang'a", "M*******"),
        ("", ""),
    ],
)
def test_of_a_name_the_first_letters_are_shown(name: str, shown: str) -> None:
    assert masked(name) == shown


@given(st.text(max_size=64))
def test_no_word_is_ever_shown_whole(name: str) -> None:
    shown = masked(name)
    assert all(word.strip(customer.STAR) != word for word in shown.split())
    assert len(shown.replace(customer.STAR, "").split()) <= len(name.split())


def test_a_customer_s_name_is_in_no_representation() -> None:
    assert "Wanjiku" not in repr(Customer(name="Jane Wanjiku"))


def test_what_is_due_is_nothing_once_it_was_given() -> None:
    entitled = Customer(free_month_wh=50_000)
    assert (entitled.due_wh(given=False), entitled.due_wh(given=True)) == (50_000, 0)
    assert NOBODY.due_wh(given=False) is None


async def test_of_a_meter_nobody_knows_nothing_is_known(db: Connection) -> None:
    assert await customer.find(db, a_meter_number()) == NOBODY
    assert NOBODY.masked is None
