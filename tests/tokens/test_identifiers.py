"""Token identifiers only rise, skip what is reserved, and end with their base date."""

from datetime import UTC, datetime, timedelta

import pytest
import sts_core
from hypothesis import given
from hypothesis import strategies as st

from vending.tokens.identifiers import BASE_DATES, TID_MAX, IdentifiersExhausted, next_identifier

INSTANTS = st.integers(0, TID_MAX - 1).map(lambda minute: timedelta(minutes=minute, seconds=59))


@given(INSTANTS, st.sampled_from([93, 14, 35]))
def test_the_first_identifier_of_a_minute_is_the_cores(since: timedelta, base: int) -> None:
    at = BASE_DATES[base] + since
    expected = sts_core.token_identifier(at, base_date=str(base), after=0)
    assert next_identifier(at, tid_base=base, after=0) == expected


@given(st.integers(1, TID_MAX - 2), st.integers(0, 4000))
def test_identifiers_only_rise_and_skip_the_reserved_minute(last: int, minute: int) -> None:
    at = BASE_DATES[14] + timedelta(minutes=minute)
    tid = next_identifier(at, tid_base=14, after=last)
    assert tid > last
    assert tid % 1440 != 1


def test_a_clock_set_back_does_not_bring_an_identifier_back() -> None:
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    first = next_identifier(noon, tid_base=14, after=0)
    assert next_identifier(noon - timedelta(days=2), tid_base=14, after=first) == first + 1


def test_a_base_date_that_is_over_has_no_identifiers() -> None:
    with pytest.raises(IdentifiersExhausted):
        next_identifier(datetime(2024, 11, 24, 20, 16, tzinfo=UTC), tid_base=93, after=0)


def test_a_base_date_that_has_not_begun_has_no_identifiers() -> None:
    with pytest.raises(IdentifiersExhausted):
        next_identifier(datetime(2026, 11, 22, tzinfo=UTC), tid_base=35, after=0)
