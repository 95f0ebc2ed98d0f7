"""Virtual meters: each knows its own key and the standard, and judges every token by itself.

`Street` is a row of them in a small SQLite file. What is kept is what was keyed in and how the
meter took it, so a meter that was switched off is brought back by keying in what it took again,
tokens and codes of key changes, in their order: nothing of the server's is read to know a balance.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import sts_core

from vending.clock import Clock
from vending.errors import VendingError
from vending.simulation.seed import MADE_AT, Home

ACCEPTED = "Accept"
USED = "UsedError"

SECTIONS = ("1stKCT", "2ndKCT", "3rdKCT", "4thKCT")
"""The meter has a part of a new key, and waits for the others."""

KEY_CHANGED = "KeyChanged"
"""The meter has the last part of a new key, and takes tokens under it from now on."""

TAKEN = frozenset({ACCEPTED, KEY_CHANGED, *SECTIONS})

_KEY_SECTIONS = frozenset({(2, 3), (2, 4), (2, 8), (2, 9)})

_SCHEMA = """
create table if not exists entry (
    entry_id     integer primary key,
    meter_number text    not null,
    digits       text    not null,
    verdict      text    not null,
    tenths       integer not null,
    entered_at   text    not null
);
create index if not exists entry_meter on entry (meter_number, entry_id);
"""
_ADD = """
insert into entry (meter_number, digits, verdict, tenths, entered_at) values (?, ?, ?, ?, ?)
"""
_TAKEN_OF = """
select digits from entry
 where meter_number = ?
   and verdict in ('Accept', 'KeyChanged', '1stKCT', '2ndKCT', '3rdKCT', '4thKCT')
 order by entry_id
"""
_TALLIES = """
select meter_number, verdict, count(*), sum(tenths) from entry group by meter_number, verdict
"""
_ACCEPTED_TWICE = """
select count(*) from (select 1 from entry where verdict = 'Accept'
                       group by meter_number, digits having count(*) > 1)
"""


class NoSuchHome(VendingError):
    """No virtual meter with that number stands in this street.

    `vending simulate meters` lists those that do.
    """

    code = "no_such_home"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What happened when somebody keyed a token in. Balances and credit are in tenths."""

    meter_number: str
    verdict: str
    tenths: int
    before_tenths: int
    after_tenths: int

    @property
    def accepted(self) -> bool:
        """Whether the meter took the token."""
        return self.verdict in TAKEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What a meter has seen: tokens taken, tokens it knew already, others it refused; tenths.

    The codes of a key change that it took are none of them.
    """

    accepted: int = 0
    used: int = 0
    refused: int = 0
    tenths: int = 0


class Street:
    """Virtual meters and the file in which their history is kept.

    `ring` holds the vending keys from which the factory made each meter's own key; a meter keeps
    only that one. Meters are switched on when somebody first walks up to them.
    """

    def __init__(
        self,
        path: Path,
        homes: Iterable[Home],
        *,
        ring: sts_core.KeyRing,
        clock: Clock,
    ) -> None:
        self.homes = {home.meter_number: home for home in homes}
        self._ring = ring
        self._clock = clock
        self._devices: dict[str, sts_core.VirtualMeter] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._file = sqlite3.connect(path, isolation_level=None)
        self._file.execute("pragma journal_mode = wal")
        self._file.execute("pragma synchronous = off")
        self._file.executescript(_SCHEMA)
        self._tallies: dict[str, Tally] = {}
        for meter_number, verdict, count, tenths in self._file.execute(_TALLIES):
            self._count(meter_number, verdict, count=count, tenths=tenths)

    def enter(self, meter_number: str, digits: str) -> Entry:
        """Key 20 digits in at a meter; raises NoSuchHome."""
        device = self._device(meter_number)
        before = device.balance_tenths
        answer = device.enter(digits)
        verdict = answer.result
        if verdict == ACCEPTED and (answer.token_class, answer.subclass) in _KEY_SECTIONS:
            verdict = KEY_CHANGED
        credited = (answer.amount or 0) if verdict == ACCEPTED else 0
        now = self._clock().isoformat()
        self._file.execute(_ADD, (meter_number, digits, verdict, credited, now))
        self._count(meter_number, verdict, count=1, tenths=credited)
        return Entry(
            meter_number=meter_number,
            verdict=verdict,
            tenths=credited,
            before_tenths=before,
            after_tenths=device.balance_tenths,
        )

    def balance_tenths(self, meter_number: str) -> int:
        """Return what a meter's display shows; raises NoSuchHome."""
        return self._device(meter_number).balance_tenths

    def tally(self, meter_number: str) -> Tally:
        """Return what one meter has seen."""
        return self._tallies.get(meter_number, Tally())

    def touched(self) -> set[str]:
        """Return the numbers of the meters somebody has keyed anything in at."""
        return set(self._tallies)

    def accepted_twice(self) -> int:
        """Return how many tokens a meter took more than once: 0 unless the meter is broken."""
        (count,) = self._file.execute(_ACCEPTED_TWICE).fetchone()
        return int(count)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _count(self, meter_number: str, verdict: str, *, count: int, tenths: int) -> None:
        known = self.tally(meter_number)
        self._tallies[meter_number] = Tally(
            accepted=known.accepted + (count if verdict == ACCEPTED else 0),
            used=known.used + (count if verdict == USED else 0),
            refused=known.refused + (0 if verdict == USED or verdict in TAKEN else count),
            tenths=known.tenths + tenths,
        )

    def _device(self, meter_number: str) -> sts_core.VirtualMeter:
        device = self._devices.get(meter_number)
        if device is None:
            home = self.homes.get(meter_number)
            if home is None:
                raise NoSuchHome(meter_number=meter_number)
            device = _as_made(self._ring, home)
            for (digits,) in self._file.execute(_TAKEN_OF, (meter_number,)):
                device.enter(digits)
            self._devices[meter_number] = device
        return device


def _as_made(ring: sts_core.KeyRing, home: Home) -> sts_core.VirtualMeter:
    return sts_core.VirtualMeter.commission(
        ring,
        meter=home.meter_number,
        ea=home.ea,
        sgc=home.sgc,
        krn=home.krn,
        ti=home.ti,
        ken=home.ken,
        manufactured_at=MADE_AT,
    )
