"""How long to go on asking, and how long to rest in between."""

from collections.abc import Callable

import msgspec

BACKOFF = 2.0


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a call may take, in seconds.

    `total` is for everything, tries and rests. `answer` is for one answer; where the server holds
    a sale until its token is there, at most `held` (25 is the server's own limit), that comes on
    top. Rests begin at `rest`, double up to `rest_most`, and are never shorter than Retry-After.
    """

    total: float = 60.0
    answer: float = 10.0
    held: int = 10
    rest: float = 0.2
    rest_most: float = 5.0


class Pace:
    """The tries of one call: what time is left, and how long to rest before the next."""

    def __init__(
        self, patience: Patience, *, seconds: Callable[[], float], chance: Callable[[], float]
    ) -> None:
        self._patience = patience
        self._seconds = seconds
        self._chance = chance
        self._until = seconds() + patience.total
        self._rest = patience.rest

    def left(self) -> float:
        """Return how many seconds are left; below zero when time is up."""
        return self._until - self._seconds()

    def limit(self, *, held: bool) -> float:
        """Return how long the next answer may take: for the last one a second is left anyway."""
        answer = self._patience.answer
        most = answer + (self._patience.held if held else 0)
        return max(min(1.0, answer), min(most, self.left()))

    @property
    def held(self) -> int:
        """How long the server may hold the next sale, in whole seconds."""
        return max(0, min(self._patience.held, int(self.left())))

    def rest(self, *, at_least: int | None) -> float | None:
        """Return how long to rest now, or None when there is no time left to try again.

        Between half and all of the backoff by chance, so that a crowd that was refused together
        does not come back together; Retry-After is lengthened by up to a quarter of a second.
        """
        wanted = self._rest * (1.0 + self._chance()) / 2
        self._rest = min(self._rest * BACKOFF, self._patience.rest_most)
        if at_least is not None:
            wanted = max(wanted, at_least + self._chance() / 4)
        return wanted if wanted < self.left() else None
