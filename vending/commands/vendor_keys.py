"""`vending vendors keys`: what vendors prove themselves with, made, listed and revoked.

A secret is printed once, alone on standard output, so that it can go straight to where it is kept;
what is said about it goes to standard error.
"""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vending.clock import system_clock
from vending.commands import surroundings
from vending.commands.surroundings import By, ConfigFile, console
from vending.config import Config
from vending.errors import Rejected
from vending.postgres.pool import Connection
from vending.vendors import accounts, credentials
from vending.vendors.credentials import Credential, Grant, Issued
from vending.vendors.seals import Seals
from vending.vendors.vendor import parse_scopes

app = cyclopts.App(name="keys", help="Vendors' API keys and OAuth clients.")

Label = Annotated[str, Parameter(help="Where it is used, for people.")]
Scopes = Annotated[
    list[str] | None, Parameter(name="--scope", help="What for, once for each; else the usual.")
]
Test = Annotated[bool, Parameter(negative="", help="For the sandbox.")]
Days = Annotated[
    int | None,
    Parameter(help="Days until it ends by itself; else never.", validator=Number(gte=1, lte=3650)),
]


class KeyFileUnreadable(Rejected):
    """The file of public keys cannot be read as text.

    Check the path.
    """

    code = "key_file_unreadable"


@app.command
def issue(
    vendor: str,
    *,
    label: Label = "",
    scope: Scopes = None,
    test: Test = False,
    days: Days = None,
    by: By,
    config: ConfigFile = None,
) -> None:
    """Make an API key and print it, once.

    A vendor has two that work, so that the new one can be brought out before the old is revoked.

    Parameters
    ----------
    vendor
        The vendor's id.

    """
    read = surroundings.settings(config)
    grant, seals = _grant(label, scope, test=test, days=days), _seals(read)

    async def work(db: Connection) -> Issued:
        return await credentials.issue_key(
            db, vendor, grant, seals=seals, who=by, now=system_clock()
        )

    _hand_over(surroundings.on_database(read, work))


@app.command
def client(
    vendor: str,
    *,
    label: Label = "",
    scope: Scopes = None,
    test: Test = False,
    days: Days = None,
    public_keys: Annotated[
        Path | None, Parameter(help="Its public keys (JSON Web Keys, or one PEM): no secret then.")
    ] = None,
    by: By,
    config: ConfigFile = None,
) -> None:
    """Make an OAuth client and print its id, and once its secret if it has one.

    Parameters
    ----------
    vendor
        The vendor's id.

    """
    read = surroundings.settings(config)
    grant, seals = _grant(label, scope, test=test, days=days), _seals(read)
    key_set = _text(public_keys) if public_keys else None

    async def work(db: Connection) -> Issued:
        return await credentials.add_client(
            db, vendor, grant, key_set=key_set, seals=seals, who=by, now=system_clock()
        )

    _hand_over(surroundings.on_database(read, work))


@app.command(name="list")
def list_(vendor: str, *, config: ConfigFile = None) -> None:
    """List a vendor's keys and clients; their secrets are stored nowhere.

    Parameters
    ----------
    vendor
        The vendor's id.

    """

    async def work(db: Connection) -> list[Credential]:
        await accounts.find(db, vendor)
        return await credentials.of_vendor(db, vendor)

    known = surroundings.on_database(config, work)
    if not known:
        console.print(f"{vendor} has no keys")
        return
    table = Table("name", "kind", "for", "label", "issued (UTC)", "state", "scopes")
    for one in known:
        table.add_row(
            one.name, one.kind.value, _sort(one), escape(one.label),
            f"{one.issued_at:%Y-%m-%d %H:%M:%S}", _state(one),
            " ".join(sorted(scope.value for scope in one.scopes)),
        )  # fmt: skip
    surroundings.show(table)


@app.command
def revoke(vendor: str, name: str, *, by: By, note: str = "", config: ConfigFile = None) -> None:
    """End a key or a client; every server knows it within five seconds.

    Parameters
    ----------
    vendor
        The vendor's id.
    name
        The key's prefix or the client's id, as the list shows it.
    note
        Why, for whoever asks later.

    """

    async def work(db: Connection) -> None:
        await credentials.revoke(db, vendor, name, note=note, who=by, now=system_clock())

    surroundings.on_database(config, work)
    console.print(f"{name} is revoked")


def _hand_over(issued: Issued) -> None:
    """Print a secret alone on standard output, and the rest beside it."""
    one = issued.credential
    beside = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    beside.print(f"{one.kind.value} {one.name} of {one.vendor_id}, {_sort(one)}, {_state(one)}")
    if issued.secret:
        print(issued.secret)
        beside.print("Keep this now: it is stored nowhere and never shown again.")


def _grant(label: str, scope: list[str] | None, *, test: bool, days: int | None) -> Grant:
    ends = system_clock() + timedelta(days=days) if days else None
    return Grant(label=label, scopes=parse_scopes(scope or ()), sandbox=test, expires_at=ends)


def _seals(read: Config) -> Seals:
    return Seals(read.vendors.secret, read.vendors.previous_secret)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise KeyFileUnreadable(file=str(path), fault=type(fault).__name__) from None


def _sort(one: Credential) -> str:
    return "sandbox" if one.sandbox else "live"


def _state(one: Credential) -> str:
    if one.revoked_at is not None:
        return f"revoked {one.revoked_at:%Y-%m-%d}"
    if one.expires_at is not None:
        return f"until {one.expires_at:%Y-%m-%d}"
    return "until revoked"
