"""From another terminal into a running demo: where it is, and what its phones and meters show.

The demo leaves its whereabouts in a small file that only its owner may read, because they include
the secret part of the callback addresses.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
import msgspec

from vending.errors import Unavailable
from vending.simulation.town import MeterView, PhoneView

FILE_NAME = "demo.json"

_T = TypeVar("_T")


class DemoNotRunning(Unavailable):
    """No demo answers here.

    Start one with `make run` in another terminal; with several, name its directory with --home.
    """

    code = "demo_not_running"


class Whereabouts(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach a running demo: the server, the town, and what the operator registered."""

    url: str
    town_url: str
    secret: str
    short_code: str

    def __repr__(self) -> str:
        return f"Whereabouts(url={self.url!r}, town_url={self.town_url!r})"

    def write(self, home: Path) -> None:
        """Leave this in the demo's directory for its owner alone."""
        home.mkdir(parents=True, exist_ok=True)
        draft = home / f"{FILE_NAME}.new"
        opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(opened, "wb") as file:
            file.write(msgspec.json.encode(self))
        draft.replace(home / FILE_NAME)

    @staticmethod
    def forget(home: Path) -> None:
        """Take it away again: the demo has ended."""
        (home / FILE_NAME).unlink(missing_ok=True)

    @staticmethod
    def read(home: Path) -> "Whereabouts":
        """Return what the demo left; raises DemoNotRunning."""
        try:
            return msgspec.json.decode((home / FILE_NAME).read_bytes(), type=Whereabouts)
        except (OSError, msgspec.MsgspecError):
            raise DemoNotRunning(home=str(home)) from None


class Visit:
    """A visitor to the town of a running demo; an async context manager."""

    def __init__(self, town_url: str) -> None:
        self._url = town_url
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def meter(self, number: str) -> MeterView | None:
        """Return what a meter shows, None when no such meter stands in the town."""
        return await self._get(f"/town/meters/{number}", MeterView)

    async def meters(self) -> list[MeterView]:
        """Return what every meter shows that was ever touched."""
        return await self._get("/town/meters", list[MeterView]) or []

    async def phone(self, number: str) -> list[str]:
        """Return the texts on a phone, oldest first."""
        seen = await self._get(f"/town/phones/{number}", PhoneView)
        return seen.texts if seen else []

    async def change_carrier(self, manner: str) -> str:
        """Change how the SMS carrier behaves; returns the town's answer."""
        session = self._open
        try:
            async with session.post(f"{self._url}/town/carrier", data=manner) as response:
                return (await response.text()).strip()
        except (aiohttp.ClientError, TimeoutError) as fault:
            raise DemoNotRunning(town=self._url) from fault

    async def _get(self, path: str, kind: type[_T]) -> _T | None:
        try:
            async with self._open.get(self._url + path) as response:
                body = await response.read()
                return msgspec.json.decode(body, type=kind) if response.ok else None
        except (aiohttp.ClientError, TimeoutError) as fault:
            raise DemoNotRunning(town=self._url) from fault

    @property
    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("use the visit as an async context manager")
        return self._session
