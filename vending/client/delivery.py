"""What both clients have in common: where the server is, who asks, and how patiently."""

import random
import time
from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

import msgspec

from vending.client.access import Access, ClientKey
from vending.client.patience import Pace, Patience
from vending.client.steps import TOKEN_PATH, Request

BODY_BYTES_MAX = 4 * 1024 * 1024
"""A page of 200 statement lines is a twentieth of this; more is no answer of this API."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How a client calls.

    `seconds` is a steady clock, `wall` one that everybody has (seconds since 1970), `chance` gives
    0 to 1 for rests.
    """

    url: str
    access: Access
    patience: Patience
    seconds: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time  # noqa: TID251 -- the vendor's machine, not the server's
    chance: Callable[[], float] = random.random

    @property
    def public_url(self) -> str:
        """Where the utility says it is: what is signed is signed for that address."""
        access = self.access
        return (access.public_url if isinstance(access, ClientKey) else "") or self.url

    @property
    def audience(self) -> str:
        """Whom an assertion is for."""
        return self.public_url + TOKEN_PATH

    def signed(self, request: Request) -> Request:
        """Return a request with its signature, where each is to be signed."""
        access = self.access
        if not isinstance(access, ClientKey) or not access.signs or request.path == TOKEN_PATH:
            return request
        headers = access.signature(
            request.method, self.public_url + request.path, headers=request.headers,
            body=request.body, at=self.wall(),
        )  # fmt: skip
        return msgspec.structs.replace(request, headers=request.headers | headers)

    def pace(self, patience: Patience | None) -> Pace:
        """Return the tries of one call."""
        return Pace(patience or self.patience, seconds=self.seconds, chance=self.chance)


def address(url: str, *, plain: bool) -> str:
    """Return where the API is, without a slash at the end.

    Raises ValueError for what is no URL of a server, and for plain HTTP over a network: a key that
    is read on its way sells for whoever has read it. `plain` allows it all the same.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
        raise ValueError("the URL of a server: https://vend.example.org")
    if parts.username or parts.password:
        raise ValueError("credentials are no part of the URL")
    if parts.scheme == "http" and not plain and not _on_this_machine(parts):
        raise ValueError("https, or plain=True to send keys unprotected")
    return url.rstrip("/")


def seconds_of(header: str | None) -> int | None:
    """Return the seconds of a Retry-After header; None where it is missing or a date."""
    return int(header) if header and header.isascii() and header.isdigit() else None


def _on_this_machine(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
