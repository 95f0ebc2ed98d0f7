"""A town of customers: phones that receive texts, people who key in the tokens, their meters.

Everybody who reads a token keys it in at the meter named in the text, a second phone's owner
included, so a token that comes twice is tried twice. The town has an HTTP address: the carrier's
interface for the server, and what phones and meters show for whoever wants to look.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import get_args

import msgspec
from aiohttp import web

from vending.errors import VendingError
from vending.simulation.meter import Entry, Street
from vending.simulation.sms_carrier import (
    Manner,
    Mood,
    SmsCarrier,
    Text,
    meter_in,
    tenths_in,
    tokens_in,
)


class PortBusy(VendingError):
    """Another program listens on the port.

    Stop that program, or choose another port.
    """

    code = "port_busy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Somebody read a text; `entries` is what came of keying in the tokens in it."""

    text: Text
    entries: tuple[Entry, ...]


class MeterView(msgspec.Struct, frozen=True, kw_only=True):
    """What a meter shows and was promised; energy in tenths of a kilowatt-hour.

    `promised` counts the different tokens that texts brought for it since the town was built, and
    `promised_tenths` is the energy those texts named.
    """

    meter_number: str
    balance_tenths: int
    accepted: int
    used: int
    refused: int
    promised: int
    promised_tenths: int


class PhoneView(msgspec.Struct, frozen=True, kw_only=True):
    """What a phone shows, oldest text first."""

    number: str
    texts: list[str]


class Town:
    """The carrier, the people and the street, tied together."""

    def __init__(self, carrier: SmsCarrier, street: Street) -> None:
        self.carrier = carrier
        self.street = street
        self._promised: dict[str, dict[str, int]] = defaultdict(dict)
        self._watchers: list[Callable[[Reading], None]] = []
        self._owner = {
            phone: home.meter_number for home in street.homes.values() for phone in home.phones
        }
        carrier.listen(self._read)

    def watch(self, watcher: Callable[[Reading], None]) -> None:
        """Call a function with every text that somebody reads, after its tokens are keyed in."""
        self._watchers.append(watcher)

    def meter(self, meter_number: str) -> MeterView:
        """Return what one meter shows; raises NoSuchHome."""
        tally = self.street.tally(meter_number)
        promised = self._promised.get(meter_number, {})
        return MeterView(
            meter_number=meter_number,
            balance_tenths=self.street.balance_tenths(meter_number),
            accepted=tally.accepted,
            used=tally.used,
            refused=tally.refused,
            promised=len(promised),
            promised_tenths=sum(promised.values()),
        )

    def meters(self) -> list[MeterView]:
        """Return what every meter shows that was ever touched or promised anything."""
        return [
            self.meter(number) for number in sorted(self.street.touched() | self._promised.keys())
        ]

    def routes(self) -> list[web.RouteDef]:
        """Return the carrier's interface and the windows into the town."""
        return [
            *self.carrier.routes(),
            web.get("/town/meters", self._show_meters),
            web.get("/town/meters/{number}", self._show_meter),
            web.get("/town/phones/{number}", self._show_phone),
            web.post("/town/carrier", self._change_mood),
        ]

    @asynccontextmanager
    async def serving(self, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
        """Serve the town; yields its address, such as http://127.0.0.1:8081. Raises PortBusy."""
        app = web.Application()
        app.add_routes(self.routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port)
            try:
                await site.start()
            except OSError as fault:
                raise PortBusy(port=port, host=host) from fault
            yield f"http://{host}:{runner.addresses[0][1]}"
        finally:
            await self.carrier.close()
            await runner.cleanup()

    async def _read(self, text: Text) -> None:
        entries: list[Entry] = []
        meter_number = self._meant(text)
        if meter_number is not None:
            # Codes of a key change stand above the token, and bring no energy.
            found = tokens_in(text.body)
            for digits in found[-1:]:
                self._promised[meter_number].setdefault(digits, tenths_in(text.body) or 0)
            entries += [self.street.enter(meter_number, digits) for digits in found]
        for watcher in self._watchers:
            watcher(Reading(text=text, entries=tuple(entries)))

    def _meant(self, text: Text) -> str | None:
        named = meter_in(text.body)
        return named if named in self.street.homes else self._owner.get(text.number)

    async def _show_meters(self, _request: web.Request) -> web.Response:
        return _json(self.meters())

    async def _show_meter(self, request: web.Request) -> web.Response:
        number = request.match_info["number"]
        if number not in self.street.homes:
            return web.Response(status=404, text="no such meter\n")
        return _json(self.meter(number))

    async def _show_phone(self, request: web.Request) -> web.Response:
        number = request.match_info["number"]
        texts = [text.body for text in self.carrier.screen(number)]
        return _json(PhoneView(number=number, texts=texts))

    async def _change_mood(self, request: web.Request) -> web.Response:
        manner = (await request.text()).strip()
        if manner not in get_args(Manner):
            return web.Response(status=400, text=f"one of: {', '.join(get_args(Manner))}\n")
        refused = {"status_code": 405} if manner == "refuses" else {}
        self.carrier.mood = Mood(manner=manner, **refused)  # type: ignore[arg-type]
        return web.Response(text=f"the carrier now: {manner}\n")


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
