"""In the town a text becomes tokens keyed in, and anybody can look at phones and meters."""

import socket
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import aiohttp
import msgspec
import pytest
import sts_core

from tests.conftest import SettableClock
from tests.simulation.test_meter import HOMES, a_ring, a_token
from vending.simulation.meter import Street
from vending.simulation.sms_carrier import SmsCarrier
from vending.simulation.town import MeterView, PhoneView, PortBusy, Reading, Town

HOME = HOMES[0]
WITH_TWO_PHONES = HOMES[9]


class Visitor:
    """Somebody with a browser and the utility's account at the carrier."""

    def __init__(self, town: Town, url: str, session: aiohttp.ClientSession) -> None:
        self.town, self.url, self.session = town, url, session

    async def text(self, to: str, message: str) -> None:
        form = {"username": "utility", "to": to, "message": message}
        headers = {"apiKey": self.town.carrier.api_key}
        async with self.session.post(
            f"{self.url}/version1/messaging", data=form, headers=headers
        ) as response:
            assert response.status == 201

    async def get(self, path: str) -> tuple[int, bytes]:
        async with self.session.get(self.url + path) as response:
            return response.status, await response.read()

    async def meter(self, number: str) -> MeterView:
        _, body = await self.get(f"/town/meters/{number}")
        return msgspec.json.decode(body, type=MeterView)


@pytest.fixture
def ring() -> sts_core.KeyRing:
    return a_ring()


@pytest.fixture
async def visitor(
    tmp_path: Path, ring: sts_core.KeyRing, clock: SettableClock
) -> AsyncIterator[Visitor]:
    with closing(Street(tmp_path / "street.db", HOMES, ring=ring, clock=clock)) as street:
        town = Town(SmsCarrier(clock=clock), street)
        async with town.serving() as url, aiohttp.ClientSession() as session:
            yield Visitor(town, url, session)


def receipt(number: str, digits: str, units: str = "15.9") -> str:
    return f"Mtr:{number} Token:{digits} Date:20261122 11:00 Units:{units} Amt:500.00"


async def test_the_token_of_a_text_is_keyed_in_at_the_meter_it_names(
    visitor: Visitor, ring: sts_core.KeyRing
) -> None:
    readings: list[Reading] = []
    visitor.town.watch(readings.append)
    text = receipt(HOME.meter_number, a_token(ring, HOME))
    await visitor.text(HOME.phones[0], text)
    (reading,) = readings
    assert reading.text.body == text
    assert [entry.after_tenths for entry in reading.entries] == [159]
    assert await visitor.meter(HOME.meter_number) == MeterView(
        meter_number=HOME.meter_number, balance_tenths=159, accepted=1, used=0, refused=0,
        promised=1, promised_tenths=159,
    )  # fmt: skip


async def test_a_second_phone_tries_the_token_again_and_the_meter_says_used(
    visitor: Visitor, ring: sts_core.KeyRing
) -> None:
    number = WITH_TWO_PHONES.meter_number
    text = receipt(number, a_token(ring, WITH_TWO_PHONES))
    for phone in WITH_TWO_PHONES.phones:
        await visitor.text(phone, text)
    seen = await visitor.meter(number)
    assert (seen.accepted, seen.used, seen.promised) == (1, 1, 1)


async def test_a_text_that_names_no_meter_is_for_the_phone_owners_meter(
    visitor: Visitor, ring: sts_core.KeyRing
) -> None:
    await visitor.text(HOME.phones[0], f"Your token: {a_token(ring, HOME)}")
    assert (await visitor.meter(HOME.meter_number)).accepted == 1


async def test_a_text_for_a_stranger_is_only_shown(visitor: Visitor) -> None:
    await visitor.text("+254799999999", "1111-1111-1111-1111-1111")
    status, body = await visitor.get("/town/phones/+254799999999")
    assert status == 200
    assert msgspec.json.decode(body, type=PhoneView).texts == ["1111-1111-1111-1111-1111"]
    assert visitor.town.meters() == []


async def test_all_meters_that_were_touched_can_be_seen_at_once(
    visitor: Visitor, ring: sts_core.KeyRing
) -> None:
    for home in HOMES[:3]:
        await visitor.text(home.phones[0], receipt(home.meter_number, a_token(ring, home)))
    _, body = await visitor.get("/town/meters")
    seen = msgspec.json.decode(body, type=list[MeterView])
    assert {view.meter_number for view in seen} == {home.meter_number for home in HOMES[:3]}


async def test_a_meter_that_does_not_exist_is_not_found(visitor: Visitor) -> None:
    assert (await visitor.get("/town/meters/14000000006"))[0] == 404


async def test_the_carriers_mood_can_be_changed_from_outside(visitor: Visitor) -> None:
    async with visitor.session.post(f"{visitor.url}/town/carrier", data="fails") as response:
        assert response.status == 200
    assert visitor.town.carrier.mood.manner == "fails"
    async with visitor.session.post(f"{visitor.url}/town/carrier", data="sings") as response:
        assert response.status == 400


async def test_a_port_that_is_taken_is_named(visitor: Visitor) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortBusy, match=str(port)):
            async with visitor.town.serving(port=port):
                pass
