"""What a run is judged by: the operator's history against phones, meters, and the database.

Every fault found is a sentence about transaction ids and meter numbers; no token is ever shown.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import asyncpg
import msgspec

from vending.audit import auditor
from vending.audit.rule import Terms
from vending.clock import Clock
from vending.commands.audit import line
from vending.simulation.history import Call, Event, EventKind
from vending.simulation.meter import ACCEPTED, USED, Street
from vending.simulation.sms_carrier import meter_in, tokens_in

OUTCOMES = """
select transaction_id, account_reference, kind, meter_number, token
  from payment left join outcome using (payment_id)
"""

UNDECIDED = """
select count(*) from payment
 where not exists (select from outcome where outcome.payment_id = payment.payment_id)
"""

# A relay that was killed gives its messages back when its claim runs out, half a minute later.
UNSENT = "select count(*) from message where state = 'waiting'"

FAULTS_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the operator knows: which payments were surely taken on, and which may have been."""

    account: dict[str, str]
    sure: set[str]
    possible: set[str]


def told(events: Iterable[Event]) -> Told:
    """Read the history: one good answer makes a payment sure, whatever came before or after it.

    A call that was never answered, or answered with "later", may have been taken on. Stories that
    differ from what was first told bring nothing, and are left out.
    """
    calls = [
        event
        for event in events
        if event.call is Call.CONFIRM and not event.behaviour.startswith("other_facts")
    ]
    sure = {event.transaction_id for event in calls if event.kind is EventKind.OK}
    refused = {event.serial for event in calls if event.kind is EventKind.FAIL}
    reached = {event.transaction_id for event in calls if event.serial not in refused}
    return Told(
        account={event.transaction_id: event.account for event in calls},
        sure=sure,
        possible=reached - sure,
    )


@dataclass(slots=True)
class Phones:
    """The phones of the town: every text is read as it comes, and its token keyed in."""

    sms: Path
    street: Street
    accepted: dict[str, set[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    _read_to: int = 0

    def read(self) -> None:
        """Read what came since the last time; a token is taken once and then known for ever."""
        if not self.sms.exists():
            return
        with self.sms.open("rb") as file:
            file.seek(self._read_to)
            for text in file:
                if not text.endswith(b"\n"):
                    break
                self._read_to += len(text)
                body = msgspec.json.decode(text)["body"]
                meter = meter_in(body)
                for digits in tokens_in(body):
                    self._key_in(meter or "", digits)

    def _key_in(self, meter: str, digits: str) -> None:
        known = self.accepted.setdefault(meter, set())
        verdict = self.street.enter(meter, digits).verdict
        if digits in known and verdict != USED:
            self.faults.append(f"meter {meter} answered {verdict} to a token it had taken")
        elif digits not in known and verdict != ACCEPTED:
            self.faults.append(f"meter {meter} answered {verdict} to a fresh token")
        known.add(digits)


@dataclass(slots=True)
class Memory:
    """The digits each payment ever had, so that no later look may find others."""

    digits: dict[str, str] = field(default_factory=dict)

    async def compare(self, db: asyncpg.Connection) -> list[str]:
        """Look at all outcomes; return what has changed that never may."""
        faults = []
        for row in await db.fetch(OUTCOMES):
            name, token = row["transaction_id"], row["token"]
            if name in self.digits and self.digits[name] != token:
                faults.append(f"payment {name} lost or changed its token")
            if token is not None:
                self.digits.setdefault(name, token)
        return faults


async def judge(
    history: Told, phones: Phones, db: asyncpg.Connection, *, clock: Clock
) -> list[str]:
    """Return every fault there is, once nothing waits any more; an empty list is a clean run."""
    rows = {row["transaction_id"]: row for row in await db.fetch(OUTCOMES)}
    faults = list(phones.faults)
    for name in sorted(history.sure):
        row = rows.get(name)
        if row is None:
            faults.append(f"payment {name} was acknowledged and is not there")
        elif row["kind"] is None:
            faults.append(f"payment {name} was acknowledged and is not decided")
        elif history.account[name] in phones.street.homes:
            if row["kind"] != "token_issued" or row["meter_number"] != history.account[name]:
                faults.append(f"payment {name} ended as {row['kind']}")
            elif row["token"] not in phones.accepted.get(row["meter_number"], set()):
                faults.append(f"the token of payment {name} never reached its meter")
        elif row["kind"] != "refund_due":
            faults.append(f"payment {name} to no meter ended as {row['kind']}")
    strangers = rows.keys() - history.sure - history.possible
    faults += [f"payment {name} is there and nobody paid it" for name in sorted(strangers)]
    faults += _counts(history, phones)
    terms = Terms(
        decided_before=clock(),
        paid_at_future=timedelta(minutes=5),
        paid_at_past=timedelta(days=30),
    )
    found = [finding async for finding in auditor.examine(db, terms)]
    return faults + [line(finding) for finding in found if not finding.holds]


def _counts(history: Told, phones: Phones) -> list[str]:
    """Compare, without the database, how many tokens each meter took with what was paid for it."""
    sure = Counter(history.account[name] for name in history.sure)
    possible = Counter(history.account[name] for name in history.possible)
    faults = []
    for meter in phones.street.homes:
        taken = len(phones.accepted.get(meter, ()))
        least, most = sure[meter], sure[meter] + possible[meter]
        if not least <= taken <= most:
            faults.append(f"meter {meter} took {taken} tokens for {least} to {most} payments")
    return faults


def shown(faults: list[str]) -> str:
    """Return the first faults, and how many there are, for a person."""
    more = [f"... {len(faults) - FAULTS_SHOWN} more"] if len(faults) > FAULTS_SHOWN else []
    return "\n".join(faults[:FAULTS_SHOWN] + more)
