"""Issuing through a key ring: batches, refusals, and keys that stay where they are."""

import copy
import pickle
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import sts_core
from sts_core import CreditOrder, IssuedToken, KeyRing, StsError, errors

KEY = bytes.fromhex("abababababababab949494949494949401234567")
DES_KEY = b"\xab" * 8
METER = "600727000000000009"
AT = datetime(2014, 3, 1, 13, 0, tzinfo=UTC)
ORDER = CreditOrder(
    meter=METER, ea=7, sgc="201457", krn=1, ti=1, subclass=0, amount=1, tid=85740, rnd=5
)
TO: dict[str, Any] = {"meter": METER, "ea": 7, "sgc": "201457", "krn": 1, "ti": 1}


def load(ring: KeyRing, krn: int = 1, **changes: Any) -> str:
    attributes: dict[str, Any] = {
        "sgc": "201457",
        "krn": krn,
        "key_type": 2,
        "dkga": "04",
        "base_date": "14",
        "ken": 255,
        "key": KEY,
    }
    return ring.load(**(attributes | changes))


@pytest.fixture
def ring() -> KeyRing:
    made = KeyRing()
    load(made)
    return made


def test_the_core_is_the_compiled_one() -> None:
    assert sts_core.__file__ is not None
    assert sts_core._native.__file__.endswith(".so")


def test_a_single_order_makes_the_token_of_the_standard(ring: KeyRing) -> None:
    made = ring.issue_credit(ORDER)
    assert (made.digits, made.amount, made.tid) == ("70630503470028726114", 1, 85740)
    assert ring.issue_credit(ORDER._replace(ea=11)).digits == "58625789986991357486"


def test_a_batch_gives_one_result_or_refusal_for_each_order(ring: KeyRing) -> None:
    load(ring, krn=2, key_type=1)
    load(ring, krn=3, ken=0)
    load(ring, krn=4, dkga="02", key=DES_KEY)
    wanted: list[tuple[CreditOrder, type[StsError] | None]] = [
        (ORDER, None),
        (ORDER._replace(amount=0), errors.AmountZero),
        (ORDER._replace(amount=-1), errors.AmountNegative),
        (ORDER._replace(amount=18_201_625), errors.AmountTooLarge),
        (ORDER._replace(amount=10**60), errors.AmountTooLarge),
        (ORDER._replace(amount=-(10**60)), errors.AmountNegative),
        (ORDER._replace(ea=9), errors.AlgorithmWithdrawn),
        (ORDER._replace(ea=8), errors.AlgorithmUnknown),
        (ORDER._replace(krn=2), errors.DefaultKeyCredit),
        (ORDER._replace(krn=3, tid=70_000), errors.KeyExpired),
        (ORDER._replace(krn=4, ea=11), errors.AlgorithmNeedsDkga04),
        (ORDER._replace(krn=9), errors.KeyUnknown),
        (ORDER._replace(krn=0), errors.KeyRevisionInvalid),
        (ORDER._replace(ti=100), errors.TariffIndexInvalid),
        (ORDER._replace(sgc="20145"), errors.SupplyGroupMalformed),
        (ORDER._replace(subclass=4), errors.SubclassInvalid),
        (ORDER._replace(rnd=16), errors.RandomInvalid),
        (ORDER._replace(tid=2**24), errors.IdentifierOutOfRange),
        (ORDER._replace(meter="12345678904"), errors.DrnCheckDigit),
        (ORDER._replace(meter="600727000000000008"), errors.PanCheckDigit),
        (ORDER._replace(meter="1234"), errors.MeterLength),
        (ORDER._replace(meter="1234567890x"), errors.MeterNotDigits),
        (ORDER, None),
    ]
    made = ring.issue_credits([order for order, _ in wanted])
    for (order, refusal), result in zip(wanted, made, strict=True):
        assert type(result) is (refusal or IssuedToken), order
        if isinstance(result, StsError):
            with pytest.raises(type(result)):
                ring.issue_credit(order)


def test_an_order_of_the_wrong_shape_is_a_mistake_of_the_program(ring: KeyRing) -> None:
    for order in (ORDER[:8], (*ORDER[:6], "ten", *ORDER[7:]), (1, *ORDER[1:]), "x"):
        with pytest.raises(TypeError):
            ring.issue_credits([order])  # type: ignore[list-item]


def test_the_amount_returned_is_what_the_token_carries(ring: KeyRing) -> None:
    made = ring.issue_credit(ORDER._replace(amount=16_385))
    assert made.amount == 16_394
    key = ring.decoder_key(**TO)
    assert sts_core.decode(made.digits, key).amount == 16_394


def test_money_is_issued_in_its_smallest_units(ring: KeyRing) -> None:
    made = ring.issue_currency_credit(**TO, subclass=4, amount=-100_000, tid=5_988_192)
    reading = sts_core.decode(made.digits, ring.decoder_key(**TO))
    assert (made.digits, reading.amount) == ("27792899833666285579", made.amount)
    assert made.amount > -100_000
    huge = ring.issue_currency_credit(**TO, subclass=4, amount=18 * 10**33, tid=1)
    assert huge.amount >= 18 * 10**33
    with pytest.raises(errors.AmountTooLarge):
        ring.issue_currency_credit(**TO, subclass=4, amount=10**60, tid=1)


@pytest.mark.parametrize(
    ("kind", "value", "index", "carried"),
    [
        ("maximum_power_limit", 20_000, None, 20_004),
        ("clear_credit", 65_535, None, 65_535),
        ("tariff_rate", 7, None, 7),
        ("clear_tamper", 0, None, 0),
        ("phase_power_unbalance_limit", 10, None, 10),
        ("water_meter_factor", 9, None, 9),
        ("flag", 1, 3, 0xFC07),
        ("extended", 5, 2, 0x0805),
    ],
)
def test_every_management_token_is_issued(
    ring: KeyRing, kind: str, value: int, index: int | None, carried: int
) -> None:
    made = ring.issue_management(**TO, tid=5, rnd=1, kind=kind, value=value, index=index)
    reading = sts_core.decode(made.digits, ring.decoder_key(**TO))
    assert (made.amount, reading.token_class, reading.tid) == (carried, 2, 5)


def test_management_tokens_with_impossible_values_are_refused(ring: KeyRing) -> None:
    for kind, value, index, refusal in (
        ("clear_credit", 8, None, errors.RegisterUnknown),
        ("flag", 2, 0, errors.FieldOutOfRange),
        ("flag", 1, 512, errors.FieldOutOfRange),
        ("extended", 1024, 1, errors.FieldOutOfRange),
        ("tariff_rate", 65_536, None, errors.FieldOutOfRange),
        ("maximum_power_limit", 10**9, None, errors.AmountTooLarge),
    ):
        with pytest.raises(refusal):
            ring.issue_management(**TO, tid=5, rnd=1, kind=kind, value=value, index=index)
    with pytest.raises(ValueError, match="kind"):
        ring.issue_management(**TO, tid=5, rnd=1, kind="dance")


def test_a_key_change_derives_its_rollover_and_refuses_an_expired_new_key(ring: KeyRing) -> None:
    load(ring, krn=2, base_date="35")
    load(ring, krn=3, ken=0)
    new: dict[str, Any] = {"new_sgc": "201457", "new_ti": 2}
    made = ring.issue_key_change(**TO, **new, new_krn=1, at=AT)
    assert made.tokens == ["06510894141453018386", "22979178279997208272"]
    assert (made.rollover, made.ti, made.ken, made.base_date) == (False, 2, 255, "14")
    three = ring.issue_key_change(**TO, **new, new_krn=1, at=AT, tokens=3)
    assert three.tokens[2] == "39620459059615037790"
    four = ring.issue_key_change(**(TO | {"ea": 11}), **new, new_krn=1, at=AT)
    assert len(four.tokens) == 4
    assert ring.issue_key_change(**TO, **new, new_krn=2, at=AT.replace(year=2035)).rollover
    late = AT.replace(year=2024)
    with pytest.raises(errors.KeyExpired):
        ring.issue_key_change(**TO, **new, new_krn=3, at=late)
    from_expired: dict[str, Any] = TO | {"krn": 3}
    assert ring.issue_key_change(**from_expired, **new, new_krn=1, at=late).tokens
    with pytest.raises(errors.KeyChangeForbidden):
        ring.issue_key_change(**TO, **new, new_krn=1, at=AT, new_key_type=3)


def test_a_key_goes_in_once_and_never_comes_out() -> None:
    ring, key = KeyRing(), bytearray(KEY)
    kcv = load(ring, key=key)
    assert key == bytearray(20)
    (entry,) = ring.keys()
    assert (entry.sgc, entry.krn, entry.key_type, entry.kcv) == ("201457", 1, 2, kcv)
    assert (entry.dkga, entry.base_date, entry.ken, len(ring)) == ("04", "14", 255, 1)
    assert load(ring, kcv=kcv.upper()) == kcv
    with pytest.raises(errors.KeyConflict):
        load(ring, ken=100)
    ring.remove(sgc="201457", krn=1, key_type=2)
    with pytest.raises(errors.KeyUnknown):
        ring.remove(sgc="201457", krn=1, key_type=2)


def test_a_bytearray_is_wiped_even_when_the_key_is_refused() -> None:
    key = bytearray(KEY)
    with pytest.raises(errors.BaseDateUnknown):
        load(KeyRing(), key=key, base_date="99")
    assert key == bytearray(20)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"kcv": "000000"}, errors.KcvMismatch),
        ({"kcv": "00"}, errors.KcvMalformed),
        ({"dkga": "02", "key": b"\xaa" * 8}, errors.KeyParity),
        ({"dkga": "02"}, errors.KeyLength),
        ({"dkga": "01"}, errors.Dkga01Unsupported),
        ({"dkga": "03"}, errors.Dkga03Unsupported),
        ({"dkga": "05"}, errors.DerivationUnknown),
        ({"key_type": 3}, errors.CommonKeyDkga04),
        ({"key_type": 0}, errors.KeyTypeInvalid),
        ({"ken": 256}, errors.KeyExpiryInvalid),
        ({"base_date": "2014"}, errors.BaseDateUnknown),
    ],
)
def test_a_key_that_is_not_right_is_not_loaded(
    changes: dict[str, Any], refusal: type[StsError]
) -> None:
    ring = KeyRing()
    with pytest.raises(refusal) as caught:
        load(ring, **changes)
    assert len(ring) == 0
    assert KEY.hex() not in str(caught.value)
    with pytest.raises(TypeError):
        load(ring, key="text")


def test_holders_of_keys_are_neither_copied_pickled_nor_shown(ring: KeyRing) -> None:
    vending_key = sts_core.VendingKey(dkga="04", key=KEY)
    decoder_key = ring.decoder_key(**TO)
    meter = sts_core.VirtualMeter.commission(ring, **TO)
    for holder in (ring, vending_key, decoder_key, meter):
        for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError):
                attempt(holder)
        for secret in (KEY.hex(), "87f3ecbb2e46b48f"):
            assert secret not in repr(holder)


def test_digits_are_left_out_of_representations(ring: KeyRing) -> None:
    assert repr(ring.issue_credit(ORDER)) == "IssuedToken(amount=1, tid=85740)"
    change = ring.issue_key_change(**TO, new_sgc="201457", new_krn=1, new_ti=2, at=AT)
    assert all(token not in repr(change) for token in change.tokens)


def test_a_meter_of_dkga01_is_refused_under_a_64_bit_key() -> None:
    ring = KeyRing()
    load(ring, dkga="02", key=DES_KEY)
    with pytest.raises(errors.Dkga01Meter):
        ring.issue_credit(ORDER._replace(meter="10900000000"))


def test_the_identifier_is_the_later_of_the_clock_and_the_next_free_minute() -> None:
    identify = sts_core.token_identifier
    assert identify(AT, base_date="14") == 85740
    assert identify(AT.astimezone(timezone(timedelta(hours=3))), base_date="14") == 85740
    assert identify(AT, base_date="14", after=85740) == 85741
    midnight = datetime(2020, 1, 1, tzinfo=UTC)
    first = identify(midnight, base_date="14")
    assert identify(midnight + timedelta(minutes=1), base_date="14") == first + 2
    assert identify(midnight, base_date="14", after=first) == first + 2
    assert sts_core.special_reserved_identifier(midnight, base_date="14") == first + 1
    with pytest.raises(errors.BeforeBaseDate):
        identify(AT, base_date="35")
    with pytest.raises(errors.IdentifierExhausted):
        identify(AT, base_date="14", after=sts_core.IDENTIFIER_MAX)
    with pytest.raises(errors.IdentifierOutOfRange):
        identify(AT, base_date="14", after=-1)
    with pytest.raises(ValueError, match="time zone"):
        identify(AT.replace(tzinfo=None), base_date="14")


def test_meter_numbers_of_every_length_are_read() -> None:
    assert sts_core.parse_meter("12345678903").pan == "600727123456789030"
    assert sts_core.parse_meter("0100000000008").pan == "000001000000000082"
    assert sts_core.parse_meter("6007 27000-000000009").drn == "00000000000"
    assert sts_core.drn_is_valid("12345678903")
    assert not sts_core.drn_is_valid("12345678904")
    assert not sts_core.drn_is_valid(METER)
    assert sts_core.drn_check_digit("1234567890") == 3
    with pytest.raises(errors.MeterLength):
        sts_core.drn_check_digit("123")


def test_tokens_that_are_none_are_refused_each_for_its_own_reason(ring: KeyRing) -> None:
    key = ring.decoder_key(**TO)
    for text, refusal in (
        ("123", errors.TokenMalformed),
        ("99999999999999999999", errors.TokenOutOfRange),
        ("70630503470028726115", errors.CrcMismatch),
    ):
        with pytest.raises(refusal):
            sts_core.decode(text, key)
        (found,) = sts_core.decode_batch([(key, text)])
        assert type(found) is refusal
    with pytest.raises(errors.SubclassInvalid):
        sts_core.decode("70630503470028726114")


def test_ready_keys_issue_what_the_ring_issues(ring: KeyRing) -> None:
    key = ring.decoder_key(**TO)
    made = sts_core.issue_with_keys([(key, 0, 1, 85740, 5), (key, 0, 0, 85740, 5)])
    assert made[0] == ring.issue_credit(ORDER)
    assert isinstance(made[1], errors.AmountZero)


def test_every_refusal_of_the_core_has_its_class() -> None:
    native = sts_core._native
    assert [refusal.code for refusal in errors.REFUSALS] == native.refusal_codes()
    assert isinstance(native.refusal(), errors.CrcMismatch)
    assert all(refusal.__doc__ for refusal in errors.REFUSALS)
    assert issubclass(StsError, ValueError)


def test_a_meter_test_is_made_for_every_number() -> None:
    for subclass, numbers in ((0, range(37)), (1, range(29))):
        for number in numbers:
            control = sts_core.meter_test_control(number, subclass=subclass)
            made = sts_core.meter_test(control=control, manufacturer_code=12, subclass=subclass)
            reading = sts_core.decode(made.digits)
            assert (reading.control, reading.manufacturer_code) == (control, 12)
    with pytest.raises(errors.TestInvalid):
        sts_core.meter_test_control(37)
    with pytest.raises(errors.ManufacturerCodeInvalid):
        sts_core.meter_test(control=1, manufacturer_code=100)
