"""Which server a load test may be turned on, and where its doors are.

Load is a weapon: anything but this very machine needs the words `--i-own-this-target`.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from vending.errors import Rejected


class TargetForeign(Rejected):
    """The target of this load test is not on this machine.

    If it is yours, you may fill it, and nobody real is served by it, add --i-own-this-target.
    """

    code = "target_foreign"


class TargetUnreadable(Rejected):
    """This is not the address of a server to test.

    Write it as http://HOST:PORT, without a path; put TLS in front of a proxy of your own.
    """

    code = "target_unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server to test."""

    host: str
    port: int

    @property
    def authority(self) -> str:
        """Host and port as they stand in a URL and in the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http://{self.authority}"

    @property
    def here(self) -> bool:
        """Whether it is on this machine, told from the name alone: no name is looked up."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse(url: str, *, owned: bool) -> Target:
    """Return the target of an address. Raises TargetUnreadable, and TargetForeign unless owned."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as fault:
        raise TargetUnreadable(target=url, fault=str(fault)) from None
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/"):
        raise TargetUnreadable(target=url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise TargetUnreadable(target=parts.hostname)
    target = Target(host=parts.hostname, port=80 if port is None else port)
    if not (target.here or owned):
        raise TargetForeign(target=target.url)
    return target
