"""Log lines that strangers can cause, kept few: a flood of bad requests must not fill our disk."""

import time
from collections.abc import Callable
from typing import Any

LINES_PER_SECOND = 20
"""Enough for a person to see what is going on; the metrics count every single one."""


class LineLimit:
    """Lets so many lines a second through, and says in the next second how many it left out."""

    def __init__(
        self,
        *,
        per_second: int = LINES_PER_SECOND,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_second = per_second
        self._seconds = seconds
        self._second = -1
        self._written = 0
        self._left_out = 0

    def write(self, write: Callable[..., Any], event: str, **fields: Any) -> None:
        """Write a line by `write(event, **fields)`, or count it as left out."""
        second = int(self._seconds())
        if second != self._second:
            self._second, self._written = second, 0
        if self._written >= self._per_second:
            self._left_out += 1
            return
        self._written += 1
        if self._left_out:
            fields["lines_left_out"], self._left_out = self._left_out, 0
        write(event, **fields)
