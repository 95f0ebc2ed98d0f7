"""The operator's own record of what it asked and what it was told: the oracle of every check.

One JSON line an event, appended before a request leaves (``invoke``) and after it is settled
(``ok``, ``fail`` or ``unknown``), in the manner of Jepsen: whoever judges a server reads this file
and never the server's own account of events. Times are monotonic nanoseconds of this machine.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

_UNTRUE = ("forged", "malformed", "other_facts")


class EventKind(StrEnum):
    """Where a request stands, as far as the one who sent it can know."""

    INVOKE = "invoke"
    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"


class Call(StrEnum):
    """Which of the operator's two calls a request is."""

    CHECK = "check"
    CONFIRM = "confirm"


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the history; an invoke and its settlement carry the same `serial`.

    `fail` means that the server took nothing on: it refused, or could not even be reached.
    `unknown` is a request that left and whose answer never came or said "later".
    """

    serial: int
    at_ns: int
    kind: EventKind
    call: Call
    behaviour: str
    transaction_id: str
    account: str
    amount_minor: int
    status: int | None = None
    answer: str = ""


class History:
    """An append-only file of events; survives the death of whoever writes it.

    A last line that was cut off by a crash is closed before anything is added, and skipped when
    read: its request is then one that was invoked and never settled.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        known = list(events(path)) if path.exists() else []
        self._serial = max((event.serial for event in known), default=0)
        torn = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
        self._file = path.open("ab", buffering=0)
        if torn:
            self._file.write(b"\n")
        self._encode = msgspec.json.Encoder().encode

    def next_serial(self) -> int:
        """Return a number no event of this file has."""
        self._serial += 1
        return self._serial

    def write(self, event: Event) -> None:
        """Append one event; when this returns the operating system has it."""
        self._file.write(self._encode(event) + b"\n")

    def events(self) -> list[Event]:
        """Return everything written so far."""
        return list(events(self.path))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def events(path: Path) -> Iterator[Event]:
    """Read a history file; lines that a crash cut short are skipped."""
    decode = msgspec.json.Decoder(Event).decode
    with path.open("rb") as lines:
        for line in lines:
            try:
                yield decode(line)
            except msgspec.DecodeError:
                continue


def acknowledged(told: Iterable[Event]) -> dict[str, Event]:
    """Return the payments the server took responsibility for, by transaction id.

    Only callbacks that tell of a real payment count, not forged or malformed ones nor those that
    tell known payments differently.
    """
    return {
        event.transaction_id: event
        for event in told
        if event.kind is EventKind.OK
        and event.call is Call.CONFIRM
        and not event.behaviour.startswith(_UNTRUE)
    }


def wrongly_believed(told: Iterable[Event]) -> list[Event]:
    """Return the answers that acknowledged a forged callback; there should be none."""
    return [
        event
        for event in told
        if event.kind is EventKind.OK and event.behaviour.startswith("forged")
    ]


def open_questions(told: Iterable[Event]) -> set[str]:
    """Return the transaction ids of confirmations whose answer the operator never learned."""
    true = [e for e in told if e.call is Call.CONFIRM and not e.behaviour.startswith(_UNTRUE)]
    settled = {e.transaction_id for e in true if e.kind in {EventKind.OK, EventKind.FAIL}}
    return {e.transaction_id for e in true} - settled
