"""The judge itself: a harness that could not find a fault would prove nothing."""

from pathlib import Path

import msgspec
import pytest
import sts_core

from tests.conftest import SettableClock
from tests.torture.verdict import Memory, Phones, Told, judge, told
from vending.meters.meter import Meter
from vending.postgres.pool import Connection
from vending.simulation import seed
from vending.simulation.history import Call, Event, EventKind
from vending.simulation.meter import Street
from vending.tokens.issuer import CoreIssuer, Order, Token

HOME = seed.homes(3)[0]
TID = 6_700_000


def _event(serial: int, kind: EventKind, name: str = "A", behaviour: str = "pay") -> Event:
    return Event(
        serial=serial, at_ns=serial, kind=kind, call=Call.CONFIRM, behaviour=behaviour,
        transaction_id=name, account=HOME.meter_number, amount_minor=100,
    )  # fmt: skip


def test_one_good_answer_makes_a_payment_sure_whatever_else_was_answered() -> None:
    history = told(
        [_event(1, EventKind.INVOKE), _event(1, EventKind.UNKNOWN), _event(2, EventKind.INVOKE),
         _event(2, EventKind.OK), _event(3, EventKind.INVOKE), _event(3, EventKind.FAIL)]
    )  # fmt: skip
    assert (history.sure, history.possible) == ({"A"}, set())


def test_a_call_without_an_answer_may_have_been_taken_on_though_a_later_one_was_not() -> None:
    history = told(
        [_event(1, EventKind.INVOKE), _event(2, EventKind.INVOKE), _event(2, EventKind.FAIL)]
    )
    assert (history.sure, history.possible) == (set(), {"A"})


def test_a_payment_that_never_reached_the_server_is_neither_sure_nor_possible() -> None:
    history = told([_event(1, EventKind.INVOKE), _event(1, EventKind.FAIL)])
    assert (history.sure, history.possible) == (set(), set())


def test_other_facts_tell_of_no_payment() -> None:
    history = told([_event(1, EventKind.OK, behaviour="other_facts")])
    assert history.account == {}


class Outside:
    """A street with one ring of keys, and the phones that read a file."""

    def __init__(self, directory: Path, clock: SettableClock) -> None:
        self.ring = sts_core.KeyRing()
        for key in seed.demo_keys():
            self.ring.load(
                sgc=key.sgc, krn=key.krn, key_type=key.key_type, dkga=key.dkga,
                base_date=key.base_date, ken=key.ken, key=bytearray(key.key_bytes),
            )  # fmt: skip
        self.sms = directory / "sms.jsonl"
        street = Street(directory / "street.db", [HOME], ring=self.ring, clock=clock)
        self.phones = Phones(self.sms, street)

    def token(self, tid: int) -> str:
        meter = Meter(
            meter_number=HOME.meter_number, sgc=HOME.sgc, krn=HOME.krn, ti=HOME.ti, ea=HOME.ea,
            tct=HOME.tct, tid_base=14, ken=255, tariff="KE-DC", tariff_category="DC",
        )  # fmt: skip
        order = Order(meter=meter, energy_tenths=10, tid=tid, rnd=3)
        (token,) = CoreIssuer(self.ring).issue([order])
        assert isinstance(token, Token)
        return token.digits

    def text(self, digits: str) -> None:
        grouped = "-".join(digits[at : at + 4] for at in range(0, 20, 4))
        body = f"Mtr:{HOME.meter_number} Token:{grouped} Units:1.0"
        with self.sms.open("ab") as file:
            file.write(msgspec.json.encode({"body": body}) + b"\n")
        self.phones.read()


@pytest.fixture
def outside(tmp_path: Path, clock: SettableClock) -> Outside:
    return Outside(tmp_path, clock)


def test_a_token_that_comes_twice_is_taken_once(outside: Outside) -> None:
    outside.text(outside.token(TID))
    outside.text(outside.token(TID))
    assert outside.phones.faults == []
    assert len(outside.phones.accepted[HOME.meter_number]) == 1


def test_a_second_token_of_one_identifier_is_a_fault(outside: Outside) -> None:
    outside.text(outside.token(TID))
    order = outside.token(TID)
    other = next(
        digits for digits in (_with_nibble(outside, nibble) for nibble in range(16))
        if digits != order
    )  # fmt: skip
    outside.text(other)
    assert outside.phones.faults == [
        f"meter {HOME.meter_number} answered UsedError to a fresh token"
    ]


def _with_nibble(outside: Outside, nibble: int) -> str:
    meter = Meter(
        meter_number=HOME.meter_number, sgc=HOME.sgc, krn=HOME.krn, ti=HOME.ti, ea=HOME.ea,
        tct=HOME.tct, tid_base=14, ken=255, tariff="KE-DC", tariff_category="DC",
    )  # fmt: skip
    (token,) = CoreIssuer(outside.ring).issue(
        [Order(meter=meter, energy_tenths=10, tid=TID, rnd=nibble)]
    )
    assert isinstance(token, Token)
    return token.digits


ADD_PAYMENT = """
insert into payment values ($1, 'mpesa', $2, '888880', 'prepaid', $3, 100, now(), now(), '',
                            'absent', '')
"""
ADD_TOKEN = """
insert into outcome (payment_id, kind, meter_number, tid_base, tid, token, energy_wh, tariff,
                     tariff_version, line_codes, line_amounts, decided_at)
values ($1, 'token_issued', $2, 14, $3, $4, 1000, 'T', '1', '{energy}', '{100}', now())
"""


async def _faults(history: Told, outside: Outside, db: Connection, clock: SettableClock) -> str:
    return "\n".join(await judge(history, outside.phones, db, clock=clock))


def _sure(*names: str) -> Told:
    return Told(account=dict.fromkeys(names, HOME.meter_number), sure=set(names), possible=set())


async def test_an_acknowledged_payment_that_is_gone_is_named(
    outside: Outside, db: Connection, clock: SettableClock
) -> None:
    faults = await _faults(_sure("A"), outside, db, clock)
    assert "payment A was acknowledged and is not there" in faults
    assert f"meter {HOME.meter_number} took 0 tokens for 1 to 1 payments" in faults


async def test_an_acknowledged_payment_that_is_undecided_is_named(
    outside: Outside, db: Connection, clock: SettableClock
) -> None:
    await db.execute(ADD_PAYMENT, 1, "A", HOME.meter_number)
    assert "payment A was acknowledged and is not decided" in await _faults(
        _sure("A"), outside, db, clock
    )


async def test_a_token_that_reached_no_meter_is_named(
    outside: Outside, db: Connection, clock: SettableClock
) -> None:
    await db.execute(ADD_PAYMENT, 1, "A", HOME.meter_number)
    await db.execute(ADD_TOKEN, 1, HOME.meter_number, TID, outside.token(TID))
    assert "the token of payment A never reached its meter" in await _faults(
        _sure("A"), outside, db, clock
    )


async def test_a_payment_nobody_made_and_a_token_nobody_paid_for_are_named(
    outside: Outside, db: Connection, clock: SettableClock
) -> None:
    await db.execute(ADD_PAYMENT, 1, "B", HOME.meter_number)
    outside.text(outside.token(TID))
    faults = await _faults(_sure(), outside, db, clock)
    assert "payment B is there and nobody paid it" in faults
    assert f"meter {HOME.meter_number} took 1 tokens for 0 to 0 payments" in faults


async def test_digits_that_change_are_remembered(outside: Outside, db: Connection) -> None:
    memory = Memory()
    await db.execute(ADD_PAYMENT, 1, "A", HOME.meter_number)
    await db.execute(ADD_TOKEN, 1, HOME.meter_number, TID, outside.token(TID))
    assert await memory.compare(db) == []
    await db.execute("update outcome set token = $1", outside.token(TID + 1))
    assert await memory.compare(db) == ["payment A lost or changed its token"]
