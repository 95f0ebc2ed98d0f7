"""Undisturbed measurements: what shared its cores with strangers is measured again, not for ever.

Every part of a run goes through here, so that each figure can say how quiet the machine was.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec

from benchmarks import processors
from benchmarks.processors import Spent

T = TypeVar("T")

STRANGE_CORES_MAX = 0.2
TRIES_MAX = 3
"""A machine that is never quiet is measured all the same, and the result says so."""


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement: how often it was tried, and the cores strangers had in the one kept."""

    what: str
    tries: int
    strange_cores: float

    @property
    def quiet(self) -> bool:
        """Whether strangers left it alone."""
        return self.strange_cores <= STRANGE_CORES_MAX


class Quiet:
    """Measures, again when strangers were busy meanwhile, and remembers how quiet it was."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.stretches: list[Stretch] = []

    async def measure(
        self, what: str, work: Callable[[], Awaitable[tuple[T, Spent]]], *, tries: int = TRIES_MAX
    ) -> T:
        """Return what some work measured: of a few tries the first quiet one, else the quietest."""
        found: list[tuple[float, T]] = []
        while True:
            value, spent = await work()
            found.append((spent.strange_cores, value))
            if spent.strange_cores <= STRANGE_CORES_MAX or len(found) >= tries:
                break
            self.say(f"{what} again: other programs took {spent.strange_cores:.2f} cores")
        strange, value = min(found, key=lambda one: one[0])
        self.stretches.append(Stretch(what=what, tries=len(found), strange_cores=strange))
        return value

    def told(self, what: str) -> str:
        """Return what a figure's note says of strangers: nothing when there were none to speak of.

        All stretches of which the name begins with `what` count.
        """
        loud = [one for one in self.stretches if one.what.startswith(what) and not one.quiet]
        if not loud:
            return ""
        worst = max(one.strange_cores for one in loud)
        tries = sum(one.tries for one in loud)
        return f"; NOT QUIET: other programs took up to {worst:.2f} cores in all of {tries} tries"


async def spent_in(roots: Mapping[str, int], work: Awaitable[T]) -> tuple[T, Spent]:
    """Return what some work returns, and the processor time spent meanwhile."""
    before = processors.read(roots)
    done = await work
    return done, processors.between(before, processors.read(roots))
