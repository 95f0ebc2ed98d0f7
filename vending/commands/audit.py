"""`vending audit`: hold the stored rows to the promises, one line a rule; walk the log of acts."""

import re
import sys
from datetime import timedelta
from typing import Annotated

import cyclopts
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.markup import escape
from rich.table import Table

from vending import audit_log
from vending.audit import auditor
from vending.audit.rule import Finding, Terms
from vending.audit_log import Act, Verified
from vending.clock import system_clock
from vending.commands import surroundings
from vending.commands.surroundings import ConfigFile, console
from vending.config import Config
from vending.errors import Rejected
from vending.postgres.pool import Connection

_NOTED = re.compile(r"(\d{1,18}):((?:[0-9a-f]{2}){4,32})", re.ASCII)

app = cyclopts.App(name="audit", help="Hold what is stored to the promises.")
log = cyclopts.App(name="log", help="The log of what people did, each act chained to the last.")
app.command(log)


class NotedMalformed(Rejected):
    """What was noted is written as NUMBER:DIGEST, as `vending audit log verify` prints it.

    The digest's first eight hexadecimal digits are enough.
    """

    code = "noted_malformed"


@app.default
def audit(
    *,
    older_than: Annotated[
        int,
        Parameter(
            help="Seconds after which a payment must have its outcome.", validator=Number(gte=0)
        ),
    ] = 60,
    config: ConfigFile = None,
) -> None:
    """Check every promise that the tables can show; exit code 1 when one does not hold.

    Reads one snapshot and changes nothing, so it may run beside a working server.
    """
    if not surroundings.run(_audit(surroundings.settings(config), timedelta(seconds=older_than))):
        sys.exit(1)


@log.command
def verify(
    *,
    noted: Annotated[
        list[str] | None,
        Parameter(help="NUMBER:DIGEST as printed earlier and kept elsewhere; once for each."),
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Walk the log from the first act to the last; exit code 1 at the first that does not fit.

    Keep the line it prints somewhere the database's administrators cannot write to: a chain that
    was rewritten as a whole differs from it.
    """
    kept = dict(map(_noted, noted or ()))

    async def work(db: Connection) -> Verified:
        return await audit_log.verify(db, noted=kept)

    found = surroundings.on_database(config, work)
    console.print(
        f"{found.count} acts, unbroken; the last is {found.count}:{found.digest.hex()}",
        soft_wrap=True,
    )


@log.command
def show(subject: str, *, most: int = 50, config: ConfigFile = None) -> None:
    """Show what was done about something, newest first.

    Parameters
    ----------
    subject
        What it was about, such as vendor:acme.
    most
        How many to show.

    """

    async def work(db: Connection) -> list[Act]:
        return await audit_log.of_subject(db, subject, most=most)

    table = Table("act", "at (UTC)", "who", "what")
    table.add_column("facts", overflow="fold")
    for act in surroundings.on_database(config, work):
        at = f"{act.at:%Y-%m-%d %H:%M:%S}"
        table.add_row(str(act.number), at, escape(act.who), act.what, escape(act.facts))
    console.print(table)


def _noted(text: str) -> tuple[int, bytes]:
    found = _NOTED.fullmatch(text)
    if not found:
        raise NotedMalformed(given=text[:80])
    return int(found[1]), bytes.fromhex(found[2])


async def _audit(config: Config, older_than: timedelta) -> bool:
    terms = Terms(
        decided_before=system_clock() - older_than,
        paid_at_future=timedelta(seconds=config.vend.paid_at_future_seconds),
        paid_at_past=timedelta(days=config.vend.paid_at_past_days),
    )
    broken = rules = 0
    async with surroundings.connected(config) as db:
        async for finding in auditor.examine(db, terms):
            rules += 1
            broken += not finding.holds
            console.print(line(finding), markup=False, soft_wrap=True)
    console.print(f"{rules} rules checked, {broken} broken", soft_wrap=True)
    return broken == 0


def line(finding: Finding) -> str:
    """Return a finding as one line for a person."""
    rule = finding.rule
    return f"{rule.promise}  {rule.name:<24}  {rule.says}: {_verdict(finding)}"


def _verdict(finding: Finding) -> str:
    if finding.fault is not None:
        return f"NOT CHECKED ({finding.fault})"
    if finding.holds:
        return "ok"
    more = " ..." if finding.count > len(finding.first) else ""
    counted = "1 violation" if finding.count == 1 else f"{finding.count:,} violations"
    return f"{counted}: {', '.join(finding.first)}{more}"
