"""`vending audit`: hold the stored rows to the promises, one line a rule."""

import sys
from datetime import timedelta
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from vending.audit import auditor
from vending.audit.rule import Finding, Terms
from vending.clock import system_clock
from vending.commands import surroundings
from vending.commands.surroundings import ConfigFile, console
from vending.config import Config


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
