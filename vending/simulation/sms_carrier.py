"""A simulated SMS carrier with Africa's Talking's interface, and the phones it delivers to.

It answers 201 even when it refuses a number, as the real one does: the verdict is in each
recipient's ``statusCode``. Every phone keeps its screen. How the carrier behaves is a `Mood` that
can be changed while it serves.
"""

import asyncio
import re
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import aiohttp
from aiohttp import web

from vending.clock import Clock

PATH = "/version1/messaging"

_TOKEN = re.compile(r"(?<![0-9])[0-9]{4}(?:[ -]?[0-9]{4}){4}(?![0-9])")
_METER = re.compile(r"(?<![0-9-])(?:[0-9]{13}|[0-9]{11})(?![0-9-])")
_UNITS = re.compile(r"\b(?:Units|Uniti):([0-9]+)\.([0-9])\b")
_PRICE = "KES 0.8000"

STATUS_TEXT = {
    100: "Processed", 101: "Success", 102: "Queued", 401: "RiskHold", 402: "InvalidSenderId",
    403: "InvalidPhoneNumber", 404: "UnsupportedNumberType", 405: "InsufficientBalance",
    406: "UserInBlacklist", 407: "CouldNotRoute", 409: "DoNotDisturbRejection",
    500: "InternalServerError", 501: "GatewayError", 502: "RejectedByGateway",
}  # fmt: skip
"""What Africa's Talking calls each recipient's status code."""

ACCEPTED = frozenset({100, 101, 102})

Manner = Literal["works", "hangs", "refuses", "fails", "duplicates", "loses_answer"]
Report = Literal["Success", "Failed", "Rejected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mood:
    """How the carrier behaves.

    `works` delivers; `hangs` takes the request and never answers; `refuses` answers 201 with
    `status_code` and delivers nothing; `fails` answers `http_status`; `duplicates` delivers every
    text twice; `loses_answer` delivers and then cuts the connection. `report` is the delivery
    report sent afterwards to the carrier's `report_url`, if it has one.
    """

    manner: Manner = "works"
    status_code: int = 101
    http_status: int = 503
    report: Report = "Success"


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One SMS on a phone's screen."""

    number: str = field(repr=False)
    body: str = field(repr=False)
    sender: str
    message_id: str
    arrived_at: datetime


Listener = Callable[[Text], Awaitable[None]]


class SmsCarrier:
    """The carrier's account of one utility: its credentials, its behaviour, the phones' screens."""

    def __init__(
        self,
        *,
        clock: Clock,
        username: str = "utility",
        api_key: str = "",
        report_url: str | None = None,
    ) -> None:
        self.mood = Mood()
        self.report_url = report_url
        self.requests = 0
        self._clock = clock
        self._username = username
        self._api_key = api_key or secrets.token_hex(16)
        self._screens: dict[str, list[Text]] = defaultdict(list)
        self._arrived = asyncio.Condition()
        self._listeners: list[Listener] = []
        self._reports: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._stopping = asyncio.Event()

    @property
    def api_key(self) -> str:
        """The key that the utility must present."""
        return self._api_key

    def routes(self) -> list[web.RouteDef]:
        """Return the carrier's HTTP interface."""
        return [web.post(PATH, self._send)]

    def listen(self, listener: Listener) -> None:
        """Call a coroutine with every text that reaches a phone."""
        self._listeners.append(listener)

    def screen(self, number: str) -> list[Text]:
        """Return the texts on a phone, oldest first."""
        return list(self._screens.get(number, ()))

    def screens(self) -> dict[str, list[Text]]:
        """Return every phone that ever received a text."""
        return {number: list(texts) for number, texts in self._screens.items()}

    async def texts(self, number: str, *, count: int = 1, containing: str = "") -> list[Text]:
        """Wait until a phone shows so many texts with some words in them, and return them all."""
        async with self._arrived:
            while True:
                found = [text for text in self.screen(number) if containing in text.body]
                if len(found) >= count:
                    return found
                await self._arrived.wait()

    async def close(self) -> None:
        """Let hanging requests go and stop sending reports."""
        self._stopping.set()
        for report in list(self._reports):
            report.cancel()
        await asyncio.gather(*self._reports, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _send(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        form = {name: str(value) for name, value in (await request.post()).items()}
        known = (
            request.headers.get("apiKey") == self._api_key
            and form.get("username") == self._username
        )
        if not known:
            return web.Response(status=401, text="The supplied authentication is invalid")
        if not form.get("to") or not form.get("message"):
            return web.Response(status=400, text="Must have 'to' and 'message' in your request")
        mood = self.mood
        if mood.manner == "hangs":
            await self._stopping.wait()
            return web.Response(status=503)
        if mood.manner == "fails":
            return web.Response(status=mood.http_status, text="Service unavailable")
        recipients = [
            await self._deliver(number.strip(), form, mood) for number in form["to"].split(",")
        ]
        if mood.manner == "loses_answer" and request.transport is not None:
            request.transport.close()
        taken = sum(recipient["statusCode"] in ACCEPTED for recipient in recipients)
        summary = f"Sent to {taken}/{len(recipients)} Total Cost: {_PRICE}"
        return web.json_response(
            {"SMSMessageData": {"Message": summary, "Recipients": recipients}}, status=201
        )

    async def _deliver(self, number: str, form: dict[str, str], mood: Mood) -> dict[str, object]:
        code = mood.status_code if mood.manner == "refuses" else 101
        message_id = f"ATXid_{secrets.token_hex(8)}" if code in ACCEPTED else "None"
        answer: dict[str, object] = {
            "statusCode": code, "number": number, "status": STATUS_TEXT[code],
            "cost": _PRICE if code in ACCEPTED else "0", "messageId": message_id,
        }  # fmt: skip
        if code not in ACCEPTED:
            return answer
        for _ in range(2 if mood.manner == "duplicates" else 1):
            text = Text(
                number=number,
                body=form["message"],
                sender=form.get("from", ""),
                message_id=message_id,
                arrived_at=self._clock(),
            )
            await self._show(text)
        if self.report_url is not None:
            self._report_later(self.report_url, number, message_id, mood.report)
        return answer

    async def _show(self, text: Text) -> None:
        async with self._arrived:
            self._screens[text.number].append(text)
            self._arrived.notify_all()
        for listener in self._listeners:
            await listener(text)

    def _report_later(self, url: str, number: str, message_id: str, report: Report) -> None:
        task = asyncio.create_task(self._report(url, number, message_id, report))
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)

    async def _report(self, url: str, number: str, message_id: str, report: Report) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=8))
        reason = "" if report == "Success" else "DeliveryFailure"
        # A report that does not get through is lost, as with the real carrier.
        try:
            await (
                await self._session.post(
                    url,
                    data={
                        "id": message_id, "status": report, "phoneNumber": number,
                        "networkCode": "63902", "failureReason": reason, "retryCount": "0",
                    },
                    timeout=aiohttp.ClientTimeout(total=5),
                )
            ).read()  # fmt: skip
        except (aiohttp.ClientError, TimeoutError):
            return


def tokens_in(text: str) -> list[str]:
    """Return the 20-digit tokens a customer can read in a text, without their separators."""
    return [re.sub(r"[ -]", "", found) for found in _TOKEN.findall(text)]


def meter_in(text: str) -> str | None:
    """Return the first meter number (11 or 13 digits) a customer can read in a text."""
    found = _METER.search(_TOKEN.sub("", text))
    return found.group() if found else None


def tenths_in(text: str) -> int | None:
    """Return the units that a receipt says were bought, in tenths of a kilowatt-hour."""
    found = _UNITS.search(text)
    return int(found[1]) * 10 + int(found[2]) if found else None
