"""A virtual meter accepts what the ring issues, once, and goes on after a restart."""

from datetime import UTC, datetime
from typing import Any

import pytest
import sts_core
from sts_core import KeyRing, VirtualMeter, errors

TO: dict[str, Any] = {"meter": "12345678903", "sgc": "201457", "krn": 1, "ti": 1}
MADE = datetime(2020, 1, 1, tzinfo=UTC)
TID = sts_core.token_identifier(MADE, base_date="14")


@pytest.fixture
def ring() -> KeyRing:
    made = KeyRing()
    for krn, base_date in ((1, "14"), (2, "35")):
        made.load(
            sgc="201457",
            krn=krn,
            key_type=2,
            dkga="04",
            base_date=base_date,
            ken=255,
            key=bytes(range(krn, krn + 20)),
        )
    return made


def credit(ring: KeyRing, ea: int, tid: int, krn: int = 1, ti: int = 1) -> str:
    return ring.issue_credit(("12345678903", ea, "201457", krn, ti, 0, 125, tid, 9)).digits


@pytest.mark.parametrize("ea", [7, 11])
def test_a_token_is_accepted_once_and_counted(ring: KeyRing, ea: int) -> None:
    meter = VirtualMeter.commission(ring, **TO, ea=ea, manufactured_at=MADE)
    digits = credit(ring, ea, TID + 9)
    first, second = meter.enter(digits), meter.enter(digits)
    assert (first.result, first.amount, first.tid, first.accepted) == ("Accept", 125, TID + 9, True)
    assert (second.result, meter.balance_tenths, meter.balance(0)) == ("UsedError", 125, 125)
    assert meter.enter(credit(ring, ea, TID - 5)).result == "OldError"
    assert meter.consume(100) == 100
    assert meter.balance_tenths == 25


@pytest.mark.parametrize("ea", [7, 11])
def test_a_key_change_with_rollover_moves_the_meter(ring: KeyRing, ea: int) -> None:
    meter = VirtualMeter.commission(ring, **TO, ea=ea, manufactured_at=MADE)
    change = ring.issue_key_change(
        **TO,
        ea=ea,
        new_sgc="201457",
        new_krn=2,
        new_ti=3,
        at=datetime(2035, 2, 1, tzinfo=UTC),
    )
    results = [meter.enter(token).result for token in reversed(change.tokens)]
    assert results[-1] == "Accept"
    assert results[0] == ("2ndKCT" if ea == 7 else "4thKCT")
    assert (meter.krn, meter.ti, meter.key_type, meter.ken) == (2, 3, 2, 255)
    assert meter.enter(credit(ring, ea, TID + 1)).result == "CRCError"
    assert meter.enter(credit(ring, ea, 77, krn=2, ti=3)).result == "Accept"


def test_a_meter_is_saved_and_restored_without_its_key(ring: KeyRing) -> None:
    meter = VirtualMeter.commission(ring, **TO, ea=7)
    digits = credit(ring, 7, TID)
    meter.enter(digits)
    again = VirtualMeter.commission(ring, **TO, ea=7)
    again.restore(meter.state())
    assert (again.balance_tenths, again.enter(digits).result) == (125, "UsedError")
    other = VirtualMeter.commission(ring, **(TO | {"ti": 2}), ea=7)
    with pytest.raises(errors.StateMismatch):
        other.restore(meter.state())
    with pytest.raises(errors.StateMalformed):
        again.restore(b"nonsense")


def test_management_tests_and_money_reach_the_meter(ring: KeyRing) -> None:
    meter = VirtualMeter.commission(ring, **TO, ea=7, accepts=(0, 4))
    meter.tamper()
    for tid, kind, value, index in (
        (1, "maximum_power_limit", 5_000, None),
        (2, "phase_power_unbalance_limit", 600, None),
        (3, "tariff_rate", 7, None),
        (4, "water_meter_factor", 8, None),
        (5, "clear_tamper", 0, None),
        (6, "flag", 1, 2),
    ):
        token = ring.issue_management(
            **TO, ea=7, tid=tid, rnd=0, kind=kind, value=value, index=index
        )
        assert meter.enter(token.digits).result == "Accept"
    assert (meter.maximum_power_watts, meter.phase_unbalance_watts) == (5_000, 600)
    assert (meter.tariff_rate, meter.water_factor, meter.flags) == (7, 8, 4)
    assert not meter.tampered
    money = ring.issue_currency_credit(**TO, ea=7, subclass=4, amount=500_000, tid=9)
    answer = meter.enter(money.digits)
    assert (answer.amount_currency, meter.balance(4)) == (money.amount, money.amount)
    test = sts_core.meter_test(control=sts_core.meter_test_control(16), manufacturer_code=12)
    assert meter.enter(test.digits).shown == [(16, "201457")]
    meter.forget_key_change()


def test_impossible_meters_are_not_made(ring: KeyRing) -> None:
    with pytest.raises(errors.SubclassInvalid):
        VirtualMeter.commission(ring, **TO, ea=7, accepts=(8,))
    with pytest.raises(errors.KeyUnknown):
        VirtualMeter.commission(ring, **TO, ea=7, key_type=1)
    meter = VirtualMeter.commission(ring, **TO, ea=7)
    with pytest.raises(errors.SubclassInvalid):
        meter.balance(8)
