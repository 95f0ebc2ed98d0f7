"""What a vendor is, what it may do, and the errors that are about vendors as such.

A vendor's sale is a payment whose operator is ``vendor:<vendor_id>``, whose transaction id is the
vendor's own reference and whose short code is its point of sale; so one reference is one payment
for ever (P2). Its money lies in the ledger account ``float:<vendor_id>``.
"""

import functools
import re
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv6Address, ip_address, ip_network

from vending.errors import Refused, Rejected
from vending.values import Value

OPERATOR_PREFIX = "vendor:"
PRODUCT = "prepaid"
ACCOUNT_PRODUCT = "account"
NO_TILL = "-"

_VENDOR_ID = re.compile(r"[a-z][a-z0-9-]{1,30}")
_PLACE = re.compile(r"[A-Za-z0-9._-]{1,32}")
_NAME_LENGTH_MAX = 100
_ADDRESSES_MAX = 64

_network = functools.lru_cache(maxsize=4096)(ip_network)


class VendorStatus(StrEnum):
    """Whether a vendor may sell."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class Scope(StrEnum):
    """What a credential may be used for."""

    METERS = "meters"
    """Look meters up and ask for quotes."""
    SALES = "sales"
    """Sell, ask what became of a sale, reprint."""
    REVERSALS = "reversals"
    """Ask for a sale to be reversed."""
    ACCOUNT = "account"
    """See float, deposits, statement, commission; announce deposits."""
    SHIFTS = "shifts"
    """Open and close shifts, and read their totals."""
    WEBHOOKS = "webhooks"
    """Say where to be told of things."""
    FREE_ISSUE = "free-issue"
    """Issue free units. Given only where the utility asks for it."""
    ENGINEERING = "engineering"
    """Issue key-change and engineering tokens. Given only where the utility asks for it."""


USUAL_SCOPES = frozenset(Scope) - {Scope.FREE_ISSUE, Scope.ENGINEERING}
"""What a credential is for unless it is said."""


class VendorUnknown(Rejected):
    """There is no vendor of this name.

    `vending vendors list` shows those there are; `vending vendors add` takes one on.
    """

    code = "vendor_unknown"


class VendorExists(Rejected):
    """There is a vendor of this name already.

    Names are never used again; choose another.
    """

    code = "vendor_exists"


class VendorMalformed(Rejected):
    """A vendor cannot be called that.

    Its id is 2 to 31 small letters, digits and hyphens, a letter first; its name 1 to 100
    printable characters.
    """

    code = "vendor_malformed"


class VendorSuspended(Refused):
    """The utility has suspended this vendor.

    Nothing is sold. What was sold before can still be asked for by whoever sold it, at the utility.
    """

    code = "vendor_suspended"


class AddressMalformed(Rejected):
    """What a vendor may call from is addresses or networks, 64 at most.

    Write 196.201.214.200 or 196.201.214.0/24.
    """

    code = "address_malformed"


class AddressForbidden(Rejected):
    """This vendor may not call from this address.

    Ask the utility to add it to the vendor's addresses.
    """

    code = "address_forbidden"


class PointOfSaleMalformed(Rejected):
    """An outlet or a till has 1 to 32 letters, digits, dots, hyphens and underscores."""

    code = "point_of_sale_malformed"


class ScopeUnknown(Rejected):
    """There is no such scope.

    docs/operating/vendors.md lists them.
    """

    code = "scope_unknown"


class Vendor(Value, frozen=True, kw_only=True):
    """A third party who sells; `addresses` are where it may call from, none means anywhere."""

    vendor_id: str
    name: str
    status: VendorStatus = VendorStatus.ACTIVE
    addresses: tuple[str, ...] = ()
    created_at: datetime


def parse_vendor_id(text: str) -> str:
    """Return a vendor's id. Raises VendorMalformed."""
    if not _VENDOR_ID.fullmatch(text):
        raise VendorMalformed(field="vendor_id")
    return text


def parse_name(text: str) -> str:
    """Return a vendor's name, its spaces put in order. Raises VendorMalformed."""
    name = " ".join(text.split())
    if not 1 <= len(name) <= _NAME_LENGTH_MAX or not name.isprintable():
        raise VendorMalformed(field="name")
    return name


def parse_addresses(texts: Iterable[str]) -> tuple[str, ...]:
    """Return addresses and networks in their usual writing, each once. Raises AddressMalformed."""
    found: dict[str, None] = {}
    for text in texts:
        try:
            network = ip_network(text.strip())
        except ValueError as fault:
            raise AddressMalformed(fault=str(fault)) from None
        single = network.prefixlen == network.max_prefixlen
        found[str(network.network_address if single else network)] = None
    if len(found) > _ADDRESSES_MAX:
        raise AddressMalformed(given=len(found))
    return tuple(found)


def require_address(vendor: Vendor, address: str) -> None:
    """Raise AddressForbidden unless a vendor may call from an address."""
    if not vendor.addresses:
        return
    try:
        asked = ip_address(address)
    except ValueError:
        raise AddressForbidden(address="unreadable") from None
    # A socket that listens on both families shows IPv4 callers as ::ffff:a.b.c.d.
    asked = (isinstance(asked, IPv6Address) and asked.ipv4_mapped) or asked
    if not any(asked in _network(text) for text in vendor.addresses):
        raise AddressForbidden(address=str(asked))


def parse_scopes(texts: Iterable[str]) -> frozenset[Scope]:
    """Return scopes by their names; none named means the usual ones. Raises ScopeUnknown."""
    named = list(texts)
    try:
        return frozenset(map(Scope, named)) or USUAL_SCOPES
    except ValueError:
        known = {scope.value for scope in Scope}
        raise ScopeUnknown(scope=next(text for text in named if text not in known)[:32]) from None


def point_of_sale(outlet: str, till: str = NO_TILL) -> str:
    """Return what a sale's short code is: the outlet, and its till where there is one.

    Raises PointOfSaleMalformed.
    """
    for text in (outlet, till):
        if not _PLACE.fullmatch(text):
            raise PointOfSaleMalformed
    return outlet if till == NO_TILL else f"{outlet}/{till}"


def outlet_of(point: str) -> str:
    """Return the outlet of a point of sale, whichever of its tills it is."""
    return point.partition("/")[0]


def operator_of(vendor_id: str) -> str:
    """Return the operator under which a vendor's sales are stored."""
    return OPERATOR_PREFIX + vendor_id


@functools.lru_cache(maxsize=4096)  # asked of every sale several times, of a few operators
def vendor_of(operator: str) -> str | None:
    """Return whose sale it is by its operator; None for what no vendor sold."""
    if operator.startswith(OPERATOR_PREFIX):
        return operator[len(OPERATOR_PREFIX) :]
    return None


def float_account(vendor_id: str) -> str:
    """Return the ledger account of a vendor's float: what we owe it is a credit."""
    return f"float:{vendor_id}"
