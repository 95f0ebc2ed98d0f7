"""How many people come when: a curve of arrivals a second over the length of a run, from 0 to 1.

A day, ten minutes or an hour are drawn on the same scale and played in as many seconds as the run
lasts: rates stay what they are, time is what is squeezed.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Curve:
    """Straight lines between points: (share of the run, arrivals a second)."""

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        """Refuse what is no curve from 0 to 1."""
        shares = [share for share, _ in self.points]
        if shares != sorted(shares) or shares[0] != 0 or shares[-1] != 1:
            raise ValueError(self.points)
        if any(rate < 0 for _, rate in self.points):
            raise ValueError(self.points)

    @property
    def peak(self) -> float:
        """The highest rate."""
        return max(rate for _, rate in self.points)

    @property
    def mean(self) -> float:
        """The rate over the whole run: the area under the curve."""
        return sum((b - a) * (low + high) / 2 for (a, low), (b, high) in pairwise(self.points))

    def rate_at(self, share: float) -> float:
        """Return the rate at a share of the run; the later line counts where two meet."""
        for (a, low), (b, high) in reversed(list(pairwise(self.points))):
            if a <= share <= b:
                return low if a == b else low + (high - low) * (share - a) / (b - a)
        return 0.0


def flat(rate: float) -> Curve:
    """Return the curve of a constant rate."""
    return Curve(((0, rate), (1, rate)))


def arrivals(
    curve: Curve, *, seconds: float, scale: float, chance: random.Random
) -> Iterator[float]:
    """Yield the instants of a Poisson stream along the curve, in seconds from its start.

    Candidates come at the peak rate and are thinned to the curve, so that the same seed gives the
    same instants.
    """
    peak = curve.peak * scale
    if peak <= 0:
        return
    at = 0.0
    while True:
        at += chance.expovariate(peak)
        if at >= seconds:
            return
        if chance.random() * curve.peak < curve.rate_at(at / seconds):
            yield at
