"""Our own 64-bit numbers for payments, messages and other rows: unique, and rising with time.

41 bits of milliseconds since 2024, 8 bits of node, 14 bits of counter: 69 years, 256 servers,
16 384 numbers a millisecond (beyond which a number borrows from the next millisecond).
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
_NODE_BITS = 8
_COUNTER_BITS = 14
_MILLISECOND = timedelta(milliseconds=1)


class Numbers:
    """Hands out numbers for one node; never the same one twice, never a smaller one."""

    def __init__(self, clock: Callable[[], datetime], *, node: int) -> None:
        if not 0 <= node < 1 << _NODE_BITS:
            raise ValueError(node)
        self.node = node
        self._clock = clock
        self._node = node << _COUNTER_BITS
        self._milliseconds = 0
        self._counter = 0
        self._at: datetime | None = None

    @property
    def reached(self) -> datetime:
        """The instant of the latest number: ahead of the clock when that was set back."""
        return EPOCH + self._milliseconds * _MILLISECOND

    def go_on_after(self, number: int) -> None:
        """Hand out none up to this one: the node's largest so far, when its clock was ahead."""
        reached = number >> (_NODE_BITS + _COUNTER_BITS), number & ((1 << _COUNTER_BITS) - 1)
        self._milliseconds, self._counter = max((self._milliseconds, self._counter), reached)

    def next(self, at: datetime | None = None) -> int:
        """Return the next number; `at` is the present instant, for callers that hold it already."""
        # Reading the clock and counting milliseconds is most of the cost: once for a whole batch.
        if at is None or at is not self._at:
            self._at = at or self._clock()
            milliseconds = (self._at - EPOCH) // _MILLISECOND
            if milliseconds > self._milliseconds:
                self._milliseconds, self._counter = milliseconds, -1
        self._counter += 1
        if self._counter >> _COUNTER_BITS:
            self._milliseconds, self._counter = self._milliseconds + 1, 0
        return self._milliseconds << (_NODE_BITS + _COUNTER_BITS) | self._node | self._counter


def node_of(number: str) -> str:
    """Return the SQL that says which node a number, itself an SQL expression, is of."""
    return f"(({number} >> {_COUNTER_BITS}) & {(1 << _NODE_BITS) - 1})"


def first_at(at: datetime) -> int:
    """Return the smallest number any node could hand out at an instant: a bound for range reads."""
    return ((at - EPOCH) // _MILLISECOND) << (_NODE_BITS + _COUNTER_BITS)
