"""Virtual meters accept a token exactly once, and remember it when they are switched on again."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sts_core

from tests.conftest import SettableClock
from vending.simulation import seed
from vending.simulation.meter import KEY_CHANGED, NoSuchHome, Street
from vending.simulation.seed import Home

HOMES = seed.homes(12)


def a_ring() -> sts_core.KeyRing:
    ring = sts_core.KeyRing()
    for key in seed.demo_keys():
        ring.load(
            sgc=key.sgc, krn=key.krn, key_type=key.key_type, dkga=key.dkga,
            base_date=key.base_date, ken=key.ken, key=bytearray(key.key_bytes),
        )  # fmt: skip
    return ring


def a_token(
    ring: sts_core.KeyRing,
    home: Home,
    *,
    tenths: int = 159,
    at: datetime = datetime(2026, 11, 22, 8, 0, tzinfo=UTC),
) -> str:
    tid = (at - datetime(2014, 1, 1, tzinfo=UTC)).total_seconds() // 60
    order = (home.meter_number, home.ea, home.sgc, home.krn, home.ti, 0, tenths, int(tid), 5)
    (issued,) = ring.issue_credits([order])
    assert not isinstance(issued, sts_core.StsError), issued
    return issued.digits


@pytest.fixture
def ring() -> sts_core.KeyRing:
    return a_ring()


@pytest.fixture
def street(tmp_path: Path, ring: sts_core.KeyRing, clock: SettableClock) -> Iterator[Street]:
    with closing(Street(tmp_path / "street.db", HOMES, ring=ring, clock=clock)) as street:
        yield street


@pytest.mark.parametrize("home", HOMES[:3], ids=lambda home: f"EA{home.ea:02d}-{home.sgc}")
def test_a_token_made_for_a_meter_is_credited_once(
    street: Street, ring: sts_core.KeyRing, home: Home
) -> None:
    digits = a_token(ring, home)
    first = street.enter(home.meter_number, digits)
    assert first.accepted
    assert (first.before_tenths, first.tenths, first.after_tenths) == (0, 159, 159)
    again = street.enter(home.meter_number, digits)
    assert again.verdict == "UsedError"
    assert (again.tenths, again.after_tenths) == (0, 159)
    tally = street.tally(home.meter_number)
    assert (tally.accepted, tally.used, tally.refused, tally.tenths) == (1, 1, 0, 159)


def test_a_token_for_the_neighbour_is_refused(street: Street, ring: sts_core.KeyRing) -> None:
    mine, neighbour = HOMES[0], HOMES[3]
    entry = street.enter(mine.meter_number, a_token(ring, neighbour))
    assert not entry.accepted
    assert street.balance_tenths(mine.meter_number) == 0
    assert street.tally(mine.meter_number).refused == 1


def test_a_token_older_than_the_meter_is_refused(street: Street, ring: sts_core.KeyRing) -> None:
    digits = a_token(ring, HOMES[0], at=datetime(2023, 12, 1, tzinfo=UTC))
    assert street.enter(HOMES[0].meter_number, digits).verdict == "OldError"


def test_a_meter_switched_on_again_knows_its_balance_and_its_tokens(
    tmp_path: Path, ring: sts_core.KeyRing, clock: SettableClock
) -> None:
    path, home = tmp_path / "street.db", HOMES[1]
    used = a_token(ring, home)
    other = a_token(ring, home, tenths=41, at=datetime(2026, 11, 22, 9, 0, tzinfo=UTC))
    with closing(Street(path, HOMES, ring=ring, clock=clock)) as street:
        street.enter(home.meter_number, used)
        street.enter(home.meter_number, used)
    with closing(Street(path, HOMES, ring=ring, clock=clock)) as street:
        assert street.touched() == {home.meter_number}
        assert street.tally(home.meter_number).used == 1
        assert street.balance_tenths(home.meter_number) == 159
        assert street.enter(home.meter_number, used).verdict == "UsedError"
        assert street.enter(home.meter_number, other).after_tenths == 200
        assert street.accepted_twice() == 0


def test_a_meter_that_took_a_token_twice_would_be_found(
    tmp_path: Path, street: Street, ring: sts_core.KeyRing
) -> None:
    street.enter(HOMES[0].meter_number, a_token(ring, HOMES[0]))
    with closing(sqlite3.connect(tmp_path / "street.db")) as file, file:
        file.execute(
            "insert into entry (meter_number, digits, verdict, tenths, entered_at)"
            " select meter_number, digits, verdict, tenths, entered_at from entry"
        )
    assert street.accepted_twice() == 1


def test_only_its_owner_may_read_the_streets_file(street: Street, tmp_path: Path) -> None:
    assert (tmp_path / "street.db").stat().st_mode & 0o077 == 0


def test_a_meter_that_does_not_stand_here_is_named(street: Street) -> None:
    with pytest.raises(NoSuchHome, match="14000000006"):
        street.enter("14000000006", "1" * 20)


def test_codes_of_a_key_change_are_kept_in_mind_and_are_no_tokens(
    tmp_path: Path, street: Street, ring: sts_core.KeyRing, clock: SettableClock
) -> None:
    home = HOMES[0]
    made = ring.issue_key_change(
        meter=home.meter_number, ea=home.ea, sgc=home.sgc, krn=home.krn, ti=home.ti,
        new_sgc=home.sgc, new_krn=home.krn, new_ti=home.ti + 1, at=clock(),
    )  # fmt: skip
    token = a_token(ring, replace(home, ti=home.ti + 1))
    assert not street.enter(home.meter_number, token).accepted
    entries = [street.enter(home.meter_number, code) for code in made.tokens]
    assert all(one.accepted for one in entries)
    assert entries[-1].verdict == KEY_CHANGED
    assert street.enter(home.meter_number, token).tenths == 159
    tally = street.tally(home.meter_number)
    assert (tally.accepted, tally.refused, tally.tenths) == (1, 1, 159)
    with closing(Street(tmp_path / "street.db", HOMES, ring=ring, clock=clock)) as again:
        assert again.balance_tenths(home.meter_number) == 159
        later = a_token(
            ring, replace(home, ti=home.ti + 1), at=datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
        )
        assert again.enter(home.meter_number, later).accepted
