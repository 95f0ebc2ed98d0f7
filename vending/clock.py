"""The only reader of the system clock; everything else is told the time."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Says what time it is, as an aware UTC instant."""

    def __call__(self) -> datetime:
        """Return the present instant."""
        ...


def system_clock() -> datetime:
    """Return the machine's present instant in UTC."""
    return datetime.now(UTC)
