"""`vending tokens`: tokens without money, asked for by one person and approved by another."""

import asyncio
import re
from datetime import timedelta
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from vending.clock import system_clock
from vending.commands import surroundings
from vending.commands.payments import COMMAND_NODE, WAIT
from vending.commands.surroundings import By, ConfigFile, console
from vending.errors import Rejected
from vending.meters.meter import parse_meter_number
from vending.numbering import Numbers
from vending.postgres.pool import Connection
from vending.quantities import WH_PER_TENTH, energy_text
from vending.sms.wording import grouped
from vending.tokens import requests, special_rows
from vending.tokens.requests import Request, Wanted
from vending.tokens.special import Reason, SpecialKind, SpecialToken, caller_of

app = cyclopts.App(
    name="tokens",
    help="Tokens without money: free units and engineering. One asks, another approves.",
)

KindName = Literal[
    "free-units", "power-limit", "phase-unbalance", "clear-credit", "clear-tamper", "water-factor",
    "meter-test",
]  # fmt: skip

KINDS: dict[str, SpecialKind] = {
    "free-units": SpecialKind.FREE_ISSUE,
    "power-limit": SpecialKind.POWER_LIMIT,
    "phase-unbalance": SpecialKind.PHASE_UNBALANCE,
    "clear-credit": SpecialKind.CLEAR_CREDIT,
    "clear-tamper": SpecialKind.CLEAR_TAMPER,
    "water-factor": SpecialKind.WATER_FACTOR,
    "meter-test": SpecialKind.METER_TEST,
}

UNSAID = {
    SpecialKind.CLEAR_CREDIT: 0xFFFF,
    SpecialKind.CLEAR_TAMPER: 0,
    SpecialKind.METER_TEST: 0,
}
"""The value where none is said: every register, the one there is, all tests."""

AskedBy = Annotated[str, Parameter(help="Who asks.")]

Note = Annotated[str, Parameter(help="Why, for whoever asks later.")]

POLL_SECONDS = 0.2

_UNITS = re.compile(r"([0-9]{1,7})(?:\.([0-9]))?")

_NAMES = {kind: name for name, kind in KINDS.items()}


class TokenValueUntold(Rejected):
    """A token needs the one quantity that its kind carries.

    Free units: --units, in kWh, such as 30 or 12.5. All others: --value, a whole number; watts for
    power-limit and phase-unbalance. Never both.
    """

    code = "token_value_untold"


@app.command
def request(
    meter: str = "",
    *,
    kind: KindName,
    units: str = "",
    value: int | None = None,
    reason: Reason,
    by: AskedBy,
    note: Note,
    config: ConfigFile = None,
) -> None:
    """Ask for a token that nobody pays for; another person approves it.

    Parameters
    ----------
    meter
        The meter's number; none for a meter-test, which is for any meter.
    kind
        What the token does.
    units
        Of free-units: how much, in kWh, such as 30 or 12.5.
    value
        Of the others: watts, the register to clear (65535: all), the factor, the test's number.
    reason
        Why it is given: the utility's reason code.

    """
    read = surroundings.settings(config)
    what = KINDS[kind]
    wanted = Wanted(
        kind=what,
        meter_number=parse_meter_number(meter) if meter else None,
        value=value_of(what, units=units, value=value),
        reason=reason,
        note=note,
    )
    number = Numbers(system_clock, node=COMMAND_NODE).next()

    async def work(db: Connection) -> None:
        await requests.ask(
            db, wanted, request_id=number, caps=requests.caps_of(read.tokens), who=by,
            now=system_clock(),
        )  # fmt: skip

    surroundings.on_database(read, work)
    console.print(f"request {number} waits for another person", soft_wrap=True)


@app.command
def pending(*, most: int = 100, config: ConfigFile = None) -> None:
    """List the requests that wait for a person or for a running server, oldest first.

    Parameters
    ----------
    most
        How many to show.

    """

    async def work(db: Connection) -> list[Request]:
        return await requests.pending(db, most=most)

    waiting = surroundings.on_database(config, work)
    if not waiting:
        console.print("no request waits")
        return
    table = Table("request, meter", "token", "reason, note", "asked (UTC), by", show_lines=True)
    for one in waiting:
        judged = f"\napproved: {escape(one.judged_by)}" if one.judged_by else ""
        table.add_row(
            f"{one.request_id}\n{one.meter_number or 'any meter'}",
            f"{_NAMES.get(one.kind, one.kind)}\n{_quantity(one.kind, one.value)}",
            f"{one.reason.value}\n{escape(one.note)}",
            f"{one.asked_at:%Y-%m-%d %H:%M}\n{escape(one.asked_by)}{judged}",
        )
    surroundings.show(table)


@app.command
def approve(request: int, *, by: By, config: ConfigFile = None) -> None:
    """Approve another person's request; the running server makes the token.

    Whether it did, and why not, is printed; without a running server it waits for the next one.

    Parameters
    ----------
    request
        Its number.

    """

    async def work(db: Connection) -> str | None:
        await requests.approve(db, request, who=by, now=system_clock())
        return await _result(db, request, within=WAIT)

    result = surroundings.on_database(config, work)
    console.print(result or "the request is approved and waits for a running server")


@app.command
def reject(request: int, *, by: By, note: Note, config: ConfigFile = None) -> None:
    """Reject another person's request: nothing is made.

    Parameters
    ----------
    request
        Its number.

    """

    async def work(db: Connection) -> None:
        await requests.reject(db, request, note=note, who=by, now=system_clock())

    surroundings.on_database(config, work)
    console.print(f"request {request} is rejected")


@app.command
def show(request: int, *, config: ConfigFile = None) -> None:
    """Show a request, what came of it, and the token to key in.

    Parameters
    ----------
    request
        Its number.

    """

    async def work(db: Connection) -> tuple[Request, SpecialToken | None]:
        asked = await requests.find(db, request)
        key = caller_of(asked.asked_by.casefold()), str(request)
        return asked, await special_rows.find(db, key)

    asked, made = surroundings.on_database(config, work)
    table = Table(show_header=False)
    for name, fact in _told(asked, made).items():
        table.add_row(name, escape(fact))
    surroundings.show(table)


def value_of(kind: SpecialKind, *, units: str, value: int | None) -> int:
    """Return the quantity of a request, as its kind counts. Raises TokenValueUntold."""
    if kind.free:
        found = _UNITS.fullmatch(units)
        if not found or value is not None:
            raise TokenValueUntold(kind=_NAMES[kind])
        return (int(found[1]) * 10 + int(found[2] or 0)) * WH_PER_TENTH
    if units or (value is None and kind not in UNSAID):
        raise TokenValueUntold(kind=_NAMES[kind])
    return UNSAID[kind] if value is None else value


async def _result(db: Connection, request_id: int, *, within: timedelta) -> str | None:
    """Return what came of a request, or None when nothing has in time."""
    until = system_clock() + within
    while (result := (await requests.find(db, request_id)).result) is None:
        if system_clock() >= until:
            return None
        await asyncio.sleep(POLL_SECONDS)
    return result


def _told(asked: Request, made: SpecialToken | None) -> dict[str, str]:
    carried = asked.value if made is None else made.value
    facts = {
        "kind": _NAMES.get(asked.kind, asked.kind.value),
        "meter": asked.meter_number or "any",
        "carries": _quantity(asked.kind, carried),
        "reason": f"{asked.reason.value}: {asked.note}",
        "requested": f"{asked.asked_at:%Y-%m-%d %H:%M:%S} UTC by {asked.asked_by}",
    }
    if asked.judged_at is not None:
        verdict = "approved" if asked.approved else "rejected"
        facts[verdict] = f"{asked.judged_at:%Y-%m-%d %H:%M:%S} UTC by {asked.judged_by}"
    if asked.approved is None:
        facts["result"] = "waits for another person"
    elif asked.approved:
        facts["result"] = asked.result or "waits for a running server"
    if made is not None:
        facts["token"] = grouped(made.token)
    return facts


def _quantity(kind: SpecialKind, value: int) -> str:
    match kind:
        case SpecialKind.FREE_BASIC | SpecialKind.FREE_ISSUE:
            return f"{energy_text(value)} kWh"
        case SpecialKind.POWER_LIMIT | SpecialKind.PHASE_UNBALANCE:
            return f"{value} W"
        case SpecialKind.CLEAR_CREDIT:
            return "all registers" if value == UNSAID[kind] else f"register {value}"
        case SpecialKind.METER_TEST:
            return f"test {value}" if value else "all tests"
        case SpecialKind.WATER_FACTOR:
            return f"factor {value}"
        case SpecialKind.CLEAR_TAMPER:
            return "-"
