"""Reading back by USSD on a real socket: what a phone may see, and what it may not."""

import json
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.api.conftest import Lease, Serve, Served
from tests.builders import a_meter, a_meter_number
from tests.conftest import SettableClock
from vending.api import screens, ussd
from vending.api.admission import Admission
from vending.api.screens import House, TokenFound
from vending.meters import directory
from vending.meters.meter import Meter, meter_pan
from vending.numbering import Numbers
from vending.postgres.pool import Connection
from vending.sms.wording import grouped

SECRET = "ussd-0123456789abcdef"
SMS: dict[str, Any] = {"callback_secret": SECRET, "callback_addresses": ["127.0.0.1"]}
OWN = a_meter_number(700)
SECOND = a_meter_number(701)
FOREIGN = a_meter_number(702)
UNKNOWN = a_meter_number(703)
PHONE = "+254708374149"
OTHER_PHONE = "+254722000111"
NEUTRAL = "END We find no such meter for this phone. Help: 97771"
NO_PAYMENT = "END We find no such payment for this phone. Help: 97771"
DIGITS = "47182039556108472296"
GROUPED = "4718-2039-5561-0847-2296"


@pytest.fixture
async def api(serve: Serve) -> AsyncIterator[Served]:
    """Serve the API with the vend lane stopped."""
    async with serve(sms=SMS, sequencer=Lease(running=False), keys_loaded=False) as served:
        yield served


@pytest.fixture
async def own(db: Connection, clock: SettableClock) -> Meter:
    meter = a_meter(meter_number=OWN, phones=(PHONE,))
    await directory.register(db, meter, now=clock())
    foreign = a_meter(meter_number=FOREIGN, phones=(OTHER_PHONE,))
    await directory.register(db, foreign, now=clock())
    return meter


class Books:
    """Writes payments and outcomes as the inbox and the vend would have left them."""

    def __init__(self, db: Connection, clock: SettableClock) -> None:
        self._db = db
        self._clock = clock
        self._numbers = Numbers(clock, node=1)

    async def payment(
        self, receipt: str, *, reference: str = OWN, payer: str = "", kind: str = "absent"
    ) -> int:
        number = self._numbers.next()
        await self._db.execute(
            """insert into payment values ($1, 'mpesa', $2, '888880', 'prepaid', $3, 50000, $4, $4,
                                           $5, $6, '')""",
            number, receipt, reference, self._clock(), payer, kind,
        )  # fmt: skip
        return number

    async def token(
        self, receipt: str, digits: str, *, meter: str = OWN, tid: int = 1, **payment: Any
    ) -> None:
        number = await self.payment(receipt, **{"reference": meter} | payment)
        await self._db.execute(
            """insert into outcome (payment_id, kind, meter_number, tid_base, tid, token, energy_wh,
                                    tariff, tariff_version, tariff_category, line_codes,
                                    line_amounts, decided_at)
               values ($1, 'token_issued', $2, 14, $3, $4, 15900, 'KE-DC', '1', 'DC1', '{energy}',
                       '{50000}', $5)""",
            number, meter, tid, digits, self._clock(),
        )  # fmt: skip

    async def other(self, receipt: str, kind: str, reason: str | None, **payment: Any) -> None:
        number = await self.payment(receipt, **payment)
        await self._db.execute(
            "insert into outcome (payment_id, kind, reason, decided_at) values ($1, $2, $3, $4)",
            number, kind, reason, self._clock(),
        )  # fmt: skip


@pytest.fixture
def books(db: Connection, clock: SettableClock) -> Books:
    return Books(db, clock)


async def dial(served: Served, text: str, *, phone: str = PHONE, secret: str = SECRET) -> str:
    form = {
        "sessionId": "ATUid_7b1f93",
        "phoneNumber": phone,
        "networkCode": "63902",
        "serviceCode": "*384*977#",
        "text": text,
    }
    async with served.session.post(f"{served.url}/ussd/{secret}", data=form) as answer:
        shown = await answer.text()
        assert answer.status == 200, shown
        assert answer.content_type == "text/plain"
        assert shown.startswith(("CON ", "END "))
        assert len(shown) <= 4 + screens.LETTERS_MAX
        return shown


async def test_the_first_screen_is_the_menu_however_often_it_is_asked_for(
    api: Served, own: Meter
) -> None:
    shown = {await dial(api, "") for _ in range(3)}
    assert shown == {"CON Demo Power\n1. Last tokens\n2. Payment status"}


async def test_the_last_three_tokens_are_shown_newest_first_while_the_lane_is_stopped(
    api: Served, own: Meter, books: Books, clock: SettableClock
) -> None:
    for tid in range(1, 6):
        await books.token(f"R{tid}", f"{tid:020d}", tid=tid)
        clock.advance(hours=1)
    shown = await dial(api, "1")
    assert shown.splitlines() == [
        f"END Mtr {OWN}",
        "22/11 15.9kWh", "0000-0000-0000-0000-0005",
        "22/11 15.9kWh", "0000-0000-0000-0000-0004",
        "22/11 15.9kWh", "0000-0000-0000-0000-0003",
    ]  # fmt: skip
    assert await dial(api, "1") == shown


def bumped(api: Served) -> list[int]:
    assert isinstance(api.doors.sequencer, Lease)
    return api.doors.sequencer.bumped


async def test_money_that_still_waits_is_told_above_the_tokens(
    api: Served, own: Meter, books: Books
) -> None:
    await books.token("R1", DIGITS)
    await books.payment("R2")
    shown = await dial(api, "1")
    assert shown.splitlines()[1] == "KSh500.00 received. Token is coming."
    assert len(bumped(api)) == 1  # it is vended next: its customer is at the meter now
    assert GROUPED in shown


async def test_money_paid_by_the_longer_number_on_the_card_is_found(
    api: Served, own: Meter, books: Books
) -> None:
    await books.payment("R2", reference=meter_pan(OWN))
    assert "Token is coming" in await dial(api, "1")


async def test_money_that_waits_for_another_meter_is_not_told(
    api: Served, own: Meter, books: Books
) -> None:
    await books.payment("R2", reference=FOREIGN)
    assert await dial(api, "1") == f"END Mtr {OWN}\nNo tokens yet."


async def test_several_meters_are_offered_and_each_can_be_chosen(
    api: Served, own: Meter, books: Books, db: Connection, clock: SettableClock
) -> None:
    await directory.register(db, a_meter(meter_number=SECOND, phones=(PHONE,)), now=clock())
    await books.token("R1", DIGITS, meter=SECOND)
    assert await dial(api, "1") == (
        f"CON Choose a meter, or type its number:\n1. {OWN}\n2. {SECOND}"
    )
    assert GROUPED in await dial(api, "1*2")
    assert GROUPED in await dial(api, f"1*{SECOND}")
    assert GROUPED in await dial(api, f"1*{meter_pan(SECOND)}")
    assert await dial(api, "1*1") == f"END Mtr {OWN}\nNo tokens yet."
    assert await dial(api, "1*3") == NEUTRAL
    assert await dial(api, "1*0") == NEUTRAL


async def test_a_foreign_meter_and_an_unknown_one_look_the_same(
    api: Served, own: Meter, books: Books
) -> None:
    await books.token("R1", DIGITS, meter=FOREIGN)
    await books.payment("R2", reference=FOREIGN)
    for wanted in (FOREIGN, UNKNOWN, "12345678901", "what?", ""):
        assert await dial(api, f"1*{wanted}") == NEUTRAL
    for phone in ("+254799999999", "", "bbff37cea44ac0b2", "2547 ***** 149", "0"):
        assert await dial(api, "1", phone=phone) == NEUTRAL
        assert await dial(api, f"1*{FOREIGN}", phone=phone) == NEUTRAL


async def test_a_foreign_meter_costs_the_same_reads_as_an_unknown_one(
    api: Served, own: Meter, books: Books, db: Connection
) -> None:
    await books.token("R1", DIGITS, meter=FOREIGN)

    class Noting:
        def __init__(self) -> None:
            self.asked: list[str] = []

        async def fetch(self, query: str, *arguments: object) -> Any:
            self.asked.append(query)
            return await api.doors.readers.fetch(query, *arguments)

        async def fetchrow(self, query: str, *arguments: object) -> Any:
            self.asked.append(query)
            return await api.doors.readers.fetchrow(query, *arguments)

    async def reads(wanted: str) -> list[str]:
        noting: Any = Noting()
        gate = Admission(api.doors.sequencer, readers=1, chance=random.Random(1))
        handler = ussd.Ussd(replace(api.doors, readers=noting), gate)
        assert (await handler._screen(["1", wanted], PHONE, [own], "en"))[0] == "no_meter"
        asked: list[str] = noting.asked
        return asked

    assert await reads(FOREIGN) == await reads(UNKNOWN) == [ussd.TOKENS, ussd.WAITING]


async def test_a_phone_is_matched_however_the_carrier_writes_it(
    api: Served, own: Meter, books: Books
) -> None:
    await books.token("R1", DIGITS)
    for written in (PHONE, PHONE[1:], "0708374149", "+254 708 374 149"):
        assert GROUPED in await dial(api, "1", phone=written)


async def test_a_payment_is_found_by_its_receipt(api: Served, own: Meter, books: Books) -> None:
    assert await dial(api, "2") == "CON Type the M-PESA receipt number:"
    await books.token("TGE7Q2M4ZK", DIGITS)
    await books.payment("TGE7Q2M4ZL")
    await books.other("TGE7Q2M4ZM", "refund_due", "meter_blocked")
    await books.other("TGE7Q2M4ZN", "refunded", "meter_blocked")
    await books.other("TGE7Q2M4ZP", "account_credited", None)
    assert GROUPED in await dial(api, "2*tge7q2m4zk ")
    assert await dial(api, "2*TGE7Q2M4ZL") == (
        "END We have your KSh500.00, receipt TGE7Q2M4ZL. Your token is coming by SMS. "
        "Do not pay again."
    )
    assert len(bumped(api)) == 1
    assert await dial(api, "2*TGE7Q2M4ZM") == (
        "END KSh500.00, receipt TGE7Q2M4ZM, bought no token: the meter is blocked. "
        "It is due back to you. Help: 97771"
    )
    assert "was paid back" in await dial(api, "2*TGE7Q2M4ZN")
    assert "on your account" in await dial(api, "2*TGE7Q2M4ZP")


async def test_a_payer_shown_in_clear_sees_the_payment_for_any_meter(
    api: Served, own: Meter, books: Books
) -> None:
    await books.token("R1", DIGITS, meter=FOREIGN, payer="254708374149", kind="clear")
    assert GROUPED in await dial(api, "2*R1")
    assert await dial(api, "2*R1", phone="+254733000222") == NO_PAYMENT


@pytest.mark.parametrize(
    ("payer", "kind"),
    [("2547 ***** 149", "masked"), ("254708374149", "hashed"), ("254708374149", "masked"),
     ("", "absent")],
)  # fmt: skip
async def test_a_payer_not_shown_in_clear_matches_no_phone(
    api: Served, own: Meter, books: Books, payer: str, kind: str
) -> None:
    await books.token("R1", DIGITS, meter=FOREIGN, payer=payer, kind=kind)
    assert await dial(api, "2*R1") == NO_PAYMENT
    assert await dial(api, "2*R1", phone="") == NO_PAYMENT
    assert await dial(api, "2*UNKNOWN1") == NO_PAYMENT


async def test_an_unknown_choice_ends_the_session(api: Served, own: Meter) -> None:
    for text in ("9", "1*1*1", "2*a*b", "*", "**"):
        assert await dial(api, text) == "END There is no such choice. Please dial again."


async def test_a_swahili_meter_is_answered_in_swahili(
    api: Served, db: Connection, clock: SettableClock, books: Books
) -> None:
    meter = a_meter(meter_number=OWN, phones=(PHONE,), language="sw")
    await directory.register(db, meter, now=clock())
    await books.payment("R1")
    assert (await dial(api, "")).endswith("1. Tokeni za mwisho\n2. Hali ya malipo")
    assert "Tokeni inakuja" in await dial(api, "1")
    assert "Usilipe tena" in await dial(api, "2*R1")


async def test_without_a_database_the_phone_is_told_so(serve: Serve, dead_dsn: str) -> None:
    async with serve(sms=SMS, readers_dsn=dead_dsn) as served:
        assert await dial(served, "1") == (
            "END We cannot look this up now. Your money and tokens are safe. Try again soon."
        )


async def test_only_the_carrier_with_the_secret_is_answered(
    api: Served, serve: Serve, own: Meter
) -> None:
    async with api.session.post(f"{api.url}/ussd/wrong", data={"text": ""}) as answer:
        assert answer.status == 404
    async with (
        serve(sms={**SMS, "callback_addresses": []}) as closed,
        closed.session.post(f"{closed.url}/ussd/{SECRET}", data={"text": ""}) as answer,
    ):
        assert answer.status == 403


@pytest.mark.parametrize(
    "body",
    [b"text=%ff", b"text=\xff", b"&".join(b"a%d=1" % one for one in range(40)),
     b"text=" + b"1*" * 200, b"phoneNumber=" + b"7" * 40],
)  # fmt: skip
async def test_a_form_that_cannot_be_read_is_refused(api: Served, body: bytes) -> None:
    async with api.session.post(f"{api.url}/ussd/{SECRET}", data=body) as answer:
        assert answer.status == 400
        assert json.loads(await answer.read())["code"] == "request_malformed"


async def test_a_nul_in_a_form_is_nothing(api: Served, own: Meter) -> None:
    assert (await dial(api, "1*\0")).startswith("END ")


async def test_the_payments_of_a_meter_are_found_by_an_index(db: Connection) -> None:
    await db.execute(
        """insert into payment
           select number, 'mpesa', number::text, '888880', 'prepaid', number::text, 1, now(), now(),
                  '', 'absent', ''
             from generate_series(1, 20000) as number"""
    )
    await db.execute("analyze payment")
    for query, arguments in (
        (ussd.WAITING, (["7", "8"], 0)),
        (ussd.PAYMENT, ("mpesa", "7")),
        (ussd.TOKENS, (OWN, 3)),
    ):
        plan = "\n".join(row[0] for row in await db.fetch("explain " + query, *arguments))
        assert "Seq Scan on payment" not in plan, plan


amounts = st.integers(1, 2**53)
found = st.builds(
    TokenFound,
    digits=st.integers(0, 2**66 - 1).map(lambda number: f"{number:020d}"),
    energy_wh=st.integers(100, 1_820_162_400),
    local_time=st.datetimes(timezones=st.just(UTC)),
)
houses = st.builds(House, name=st.text(), help_line=st.text(), currency_symbol=st.text())


@given(
    st.sampled_from(["en", "sw", "xx"]), st.lists(found, max_size=3), st.none() | amounts, houses
)
def test_a_screen_never_overflows_and_keeps_the_newest_token_whole(
    language: str, tokens: list[TokenFound], coming: int | None, house: House
) -> None:
    shown = screens.tokens(language, "0412345678301", tokens, coming_minor=coming, house=house)
    assert len(shown) <= screens.LETTERS_MAX
    for one in tokens[:1]:
        assert grouped(one.digits) in shown


def test_three_ordinary_tokens_and_the_word_of_another_fit_one_screen() -> None:
    house = House(name="Demo Power", help_line="97771", currency_symbol="KSh")
    one = TokenFound(digits=DIGITS, energy_wh=999_900, local_time=datetime(2026, 7, 14, tzinfo=UTC))
    for language in ("en", "sw"):
        shown = screens.tokens(language, OWN, [one] * 3, coming_minor=25_000_000, house=house)
        assert shown.count(GROUPED) == 3


@given(st.sampled_from(["en", "sw"]), st.text(max_size=32), amounts, st.text(), houses)
def test_a_refund_screen_never_overflows(
    language: str, receipt: str, amount: int, reason: str, house: House
) -> None:
    shown = screens.refund_due(
        language, receipt=receipt, amount_minor=amount, reason=reason, house=house
    )
    assert len(shown) <= screens.LETTERS_MAX
    assert len(screens.menu(language, house=house)) <= screens.LETTERS_MAX


def test_a_long_list_of_meters_fits_its_screen() -> None:
    for language in ("en", "sw"):
        shown = screens.choice(language, ["0412345678301"] * 20)
        assert shown.count("0412345678301") == screens.METERS_SHOWN_MAX


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("coming", [None, 25_000_000])
@pytest.mark.parametrize("language", ["en", "sw"])
def test_codes_of_a_key_change_are_above_their_token_and_whole(
    language: str, coming: int | None, count: int
) -> None:
    codes = tuple(f"{place}" * 20 for place in range(1, count + 1))
    one = TokenFound(
        digits="9" * 20,
        codes=codes,
        energy_wh=1_820_162_400,
        local_time=datetime(2026, 7, 14, tzinfo=UTC),
    )
    house = House(name="Demo Power", help_line="97771", currency_symbol="KSh")
    shown = screens.tokens(language, "0412345678301", [one], coming_minor=coming, house=house)
    assert len(shown) <= screens.LETTERS_MAX
    digits = shown.replace("-", "")
    places = [digits.index(each) for each in (*codes, one.digits)]
    assert places == sorted(places)
