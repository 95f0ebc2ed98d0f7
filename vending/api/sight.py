"""Whether a look-up is worth beginning: a database that is slow is not asked more, but less.

A look-up that misses its deadline is cancelled, which costs PostgreSQL a connection; thousands a
minute would keep a slow one slow. After a few misses in a row one look-up at a time goes on asking,
and the first that is in time ends that. Everybody else hears the policy at once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MISSES_MAX: Final = 3
"""One late look-up is an accident, and so may be two."""

LOOKING_PER_READER: Final = 16
"""Look-ups that wait for one connection: at a millisecond each the last is still in good time."""


class Blinded(Exception):
    """The look-up was not begun."""


class Sight:
    """Lets look-ups begin, and learns from how they end."""

    def __init__(self, *, readers: int) -> None:
        self._looking_max = LOOKING_PER_READER * readers
        self._looking = 0
        self._misses = 0

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Let a look-up in for the length of the block, or raise Blinded.

        A block that raises has missed.
        """
        most = self._looking_max if self._misses < MISSES_MAX else 1
        if self._looking >= most:
            raise Blinded
        self._looking += 1
        try:
            yield
        except Exception:
            self._misses += 1
            raise
        else:
            self._misses = 0
        finally:
            self._looking -= 1
