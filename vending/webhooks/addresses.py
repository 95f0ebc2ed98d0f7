"""Which addresses a webhook may go to: what vendors give us we call, so it must not be our own.

A URL is checked when it is given and again before each call, and every address is checked at the
moment a socket is made for it (see `calls`): a name that leads somewhere else by then leads
nowhere. What is refused follows IANA's registries of special-purpose addresses; of IPv6 only global
unicast is left, without the ranges that carry an IPv4 address inside.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from vending.config import ConfigInvalid
from vending.errors import Rejected
from vending.values import Value

URL_LETTERS_MAX = 1000

_REFUSED_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared with a carrier's NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, and where clouds keep their credentials
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
# Outside 2000::/3 and so refused by that alone: ::, ::1, IPv4-mapped and -compatible, NAT64
# (64:ff9b::/96 and 64:ff9b:1::/48), 100::/64, unique local fc00::/7, link-local, site-local,
# multicast.

_HOST = re.compile(r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9-]{1,63}")
_NUMBER_LIKE = re.compile(r"(0x[0-9a-f]*|[0-9]+)")
_VISIBLE = re.compile(r"[!-~]+")

Address = IPv4Address | IPv6Address


class WebhookUrlRefused(Rejected):
    """Webhooks are not sent to such a URL.

    `rule` says why. An endpoint is an https URL on a public address, on a port the utility allows,
    without a user name, a password or a fragment.
    """

    code = "webhook_url_refused"


class WebhookAddressRefused(Rejected):
    """The name of a webhook's URL leads to an address that is not public.

    Nothing was sent. Point the name at a public address.
    """

    code = "webhook_address_refused"


class Reach(Value, frozen=True, kw_only=True):
    """How far webhooks go: the ports, whether this very machine, and networks to keep out of."""

    ports: frozenset[int] = frozenset({443})
    loopback: bool = False
    refused: tuple[IPv4Network | IPv6Network, ...] = ()


def networks(texts: Iterable[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    """Return [webhooks] refused_networks as networks. Raises ConfigInvalid."""
    try:
        return tuple(ip_network(text.strip()) for text in texts)
    except ValueError as fault:
        raise ConfigInvalid(setting="webhooks.refused_networks", fault=str(fault)) from None


def check_url(url: str, reach: Reach) -> None:
    """Raise WebhookUrlRefused unless webhooks may be sent to a URL, as far as its text tells."""
    if len(url) > URL_LETTERS_MAX or not _VISIBLE.fullmatch(url) or "\\" in url:
        raise WebhookUrlRefused(rule=f"at most {URL_LETTERS_MAX} visible ASCII characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise WebhookUrlRefused(rule="not a URL") from None
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise WebhookUrlRefused(rule="no user name and no password in it")
    if "#" in url:
        raise WebhookUrlRefused(rule="no fragment in it")
    local = _is_local(parts, reach)
    if parts.scheme not in ({"https", "http"} if local else {"https"}):
        raise WebhookUrlRefused(rule="https only")
    if not local and (443 if port is None else port) not in reach.ports:
        raise WebhookUrlRefused(rule="a port that is not allowed")


def check_address(text: str, reach: Reach) -> None:
    """Raise WebhookAddressRefused unless an address, as text, may be connected to."""
    try:
        address: Address = ip_address(text)
    except ValueError:
        raise WebhookAddressRefused(address=text) from None
    if not allowed(address, reach):
        raise WebhookAddressRefused(address=text)


def allowed(address: Address, reach: Reach) -> bool:
    """Return whether webhooks may be sent to an address."""
    if reach.loopback and address.is_loopback:
        return True
    # A network of the other family holds no address of this one: `in` says False.
    if any(address in network for network in reach.refused):
        return False
    if isinstance(address, IPv6Address):
        return (
            address.scope_id is None
            and address in _GLOBAL_V6
            and not any(address in network for network in _REFUSED_V6)
        )
    return not any(address in network for network in _REFUSED_V4)


def _is_local(parts: SplitResult, reach: Reach) -> bool:
    """Return whether a URL is one of this machine; raise WebhookUrlRefused for no proper host."""
    host = (parts.hostname or "").removesuffix(".")
    try:
        address: Address | None = ip_address(host)
    except ValueError:
        address = None
    if address is not None:
        if not allowed(address, reach):
            raise WebhookUrlRefused(rule="an address that is not public")
        return address.is_loopback
    # 2130706433, 0x7f.1 and 127.1 are all 127.0.0.1 to some; nobody needs them.
    if not _HOST.fullmatch(host) or _NUMBER_LIKE.fullmatch(host.rpartition(".")[2]):
        raise WebhookUrlRefused(rule="a host name, or an address written the plain way")
    if host == "localhost" or host.endswith(".localhost"):
        if not reach.loopback:
            raise WebhookUrlRefused(rule="an address that is not public")
        return True
    if "." not in host:
        raise WebhookUrlRefused(rule="a full host name")
    return False
