"""The issuer makes what meters accept, and refuses by name what it must not make."""

from datetime import UTC, datetime

import pytest
import sts_core

from tests.builders import SGC, VENDING_KEY, a_meter
from vending.tokens.identifiers import next_identifier
from vending.tokens.issuer import (
    CoreIssuer,
    KeyExpired,
    KeyMissing,
    KeyUnfit,
    Order,
    Token,
    TokenRefused,
)

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
TID = next_identifier(NOW, tid_base=14, after=0)


@pytest.fixture
def ring() -> sts_core.KeyRing:
    ring = sts_core.KeyRing()
    key = bytearray.fromhex(VENDING_KEY)
    ring.load(sgc=SGC, krn=1, key_type=2, dkga="04", base_date="14", ken=255, key=key)
    return ring


@pytest.mark.parametrize("ea", [7, 11])
def test_a_virtual_meter_accepts_the_token_once(ring: sts_core.KeyRing, ea: int) -> None:
    meter = a_meter(ea=ea)
    order = Order(meter=meter, energy_tenths=240, tid=TID, rnd=5)
    (token,) = CoreIssuer(ring).issue([order])
    assert isinstance(token, Token)
    assert (token.energy_tenths, token.tid) == (240, TID)
    judge = sts_core.VirtualMeter.commission(
        ring, meter=meter.meter_number, ea=ea, sgc=SGC, krn=1, ti=1, manufactured_at=None
    )
    assert judge.enter(token.digits).result == "Accept"
    assert judge.enter(token.digits).result == "UsedError"
    assert judge.balance_tenths == 240


def test_issuing_an_order_again_gives_the_same_digits(ring: sts_core.KeyRing) -> None:
    order = Order(meter=a_meter(), energy_tenths=240, tid=TID, rnd=5)
    first, second = CoreIssuer(ring).issue([order, order])
    assert isinstance(first, Token)
    assert first == second


def test_one_refused_order_does_not_harm_its_neighbours(ring: sts_core.KeyRing) -> None:
    good = Order(meter=a_meter(), energy_tenths=240, tid=TID, rnd=5)
    bad = Order(meter=a_meter(sgc="999999"), energy_tenths=240, tid=TID, rnd=5)
    first, second, third = CoreIssuer(ring).issue([good, bad, good])
    assert isinstance(second, TokenRefused)
    assert first == third


def test_a_meter_whose_key_is_not_loaded_cannot_be_issued_for(ring: sts_core.KeyRing) -> None:
    with pytest.raises(KeyMissing):
        CoreIssuer(ring).require_issuable(a_meter(krn=2), tid=TID)


def test_a_meter_on_another_base_date_than_its_key_cannot_be_issued_for(
    ring: sts_core.KeyRing,
) -> None:
    with pytest.raises(KeyUnfit):
        CoreIssuer(ring).require_issuable(a_meter(tid_base=93), tid=TID)


def test_a_meter_with_an_expired_key_cannot_be_issued_for(ring: sts_core.KeyRing) -> None:
    issuer = CoreIssuer(ring)
    last = TID >> 16
    issuer.require_issuable(a_meter(ken=last), tid=TID)
    with pytest.raises(KeyExpired):
        issuer.require_issuable(a_meter(ken=last - 1), tid=TID)


def test_a_token_hides_its_digits() -> None:
    assert "1234" not in repr(Token("12345678901234567890", 10, 1))
