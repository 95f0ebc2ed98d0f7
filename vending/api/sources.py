"""Who is calling: the real address behind a request, and the secret in a callback's path.

Callbacks of operators and carriers carry no signature, so two things stand in for one: the
address they come from and a path that only they were given. The address is the socket's own peer.
X-Forwarded-For counts only as far as our own configured proxies wrote it: from the right, the
first hop that is not one of them is the caller, whatever stands to its left.
"""

import functools
import hmac
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from vending.api.calls import Call
from vending.config import ConfigInvalid
from vending.errors import Rejected

_KNOWN_MAX = 1024
"""Verdicts remembered for each list; a flood of addresses pushes out old ones, never grows."""


class SourceForbidden(Rejected):
    """The request did not come from an address that may make it.

    Add the operator's published addresses to the setting, or our proxy to server.trusted_proxies.
    """

    code = "source_forbidden"


class PathUnknown(Rejected):
    """Nothing is served at this path.

    Check the address that was registered: docs/reference/http-api.md lists the paths.
    """

    code = "path_unknown"


class Networks:
    """Addresses and networks from a setting; `in` answers for one address as text."""

    def __init__(self, texts: Iterable[str], *, setting: str = "") -> None:
        """Read addresses ("196.201.214.200") and networks ("196.201.214.0/24").

        Raises ConfigInvalid naming the setting and the entry that is neither.
        """
        networks = []
        for text in texts:
            try:
                networks.append(ip_network(text.strip()))
            except ValueError as fault:
                raise ConfigInvalid(setting=setting, fault=str(fault)) from None
        self._networks = tuple(networks)
        self._known = functools.lru_cache(maxsize=_KNOWN_MAX)(self._holds)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: str) -> bool:
        return self._known(address)

    def __repr__(self) -> str:
        return f"Networks({', '.join(str(network) for network in self._networks)})"

    def _holds(self, text: str) -> bool:
        address = _address(text)
        if address is None:
            return False
        # An IPv6 network can never hold an IPv4 address and the other way round: `in` says False.
        return any(address in network for network in self._networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A socket that listens on both families shows IPv4 callers as ::ffff:a.b.c.d.
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def caller(call: Call, *, proxies: Networks) -> str | None:
    """Return the address that made a request, or None when it cannot be told.

    That is the socket's peer, unless the peer is one of our proxies: then the rightmost
    X-Forwarded-For hop that is not.
    """
    hop = call.peer
    if hop is None or not proxies or hop not in proxies:
        return hop
    forwarded = call.forwarded_for
    for text in reversed(forwarded.split(",")) if forwarded else ():
        hop = text.strip()
        if hop not in proxies:
            break
    return hop if _address(hop) is not None else None


def require_source(call: Call, *, allowed: Networks, proxies: Networks) -> str:
    """Return the allowed address that a request comes from.

    Raises SourceForbidden for any other; when none is allowed, always.
    """
    source = caller(call, proxies=proxies)
    if source is None or source not in allowed:
        raise SourceForbidden(source=source)
    return source


def require_secret(given: str, *, expected: str) -> None:
    """Raise PathUnknown unless the secret part of the path is right; an empty one never is.

    The comparison takes the same time wherever the texts differ.
    """
    if (
        not hmac.compare_digest(given.encode(errors="surrogatepass"), expected.encode())
        or not expected
    ):
        raise PathUnknown
