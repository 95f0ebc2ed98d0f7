"""Counters and histograms that are changed once or more for every sale, and cheap to change.

They are called as prometheus_client's own are and shown through its registry with the same lines,
but they are plain numbers without locks: every change and every look belongs on the event loop's
thread. What another thread changes, and what changes rarely, stays with the library.
"""

from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from math import inf
from time import perf_counter
from types import TracebackType
from typing import ClassVar, Generic, Protocol, Self, TypeVar

import prometheus_client
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from vending.clock import system_clock

_Line = tuple[str, dict[str, str], float]
"""What a name ends in, the labels besides its own, and the value."""

_BORN = "_created"


class Count:
    """One counter, of one set of label values."""

    __slots__ = ("_born", "value")

    def __init__(self) -> None:
        self.value = 0
        self._born = _now()

    def inc(self, amount: int = 1) -> None:
        """Count so many more. Raises ValueError for fewer than none."""
        if amount < 0:
            raise ValueError(f"a counter never goes back, not even by {amount}")
        self.value += amount

    def lines(self) -> Iterator[_Line]:
        """Yield what is shown of it."""
        yield "_total", {}, float(self.value)
        yield _BORN, {}, self._born


class Distribution:
    """One histogram, of one set of label values: how many observations fell below which bound."""

    __slots__ = ("_born", "_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * len(bounds)  # each bucket's own; a look adds them up
        self._sum = 0.0
        self._born = _now()

    def observe(self, amount: float) -> None:
        """Count an observation in the first bucket whose bound it does not exceed."""
        self._counts[bisect_left(self._bounds, amount)] += 1
        self._sum += amount

    def observe_all(self, amounts: Iterable[float]) -> None:
        """Count many observations, as `observe` does each."""
        bounds, counts, total = self._bounds, self._counts, self._sum
        for amount in amounts:
            counts[bisect_left(bounds, amount)] += 1
            total += amount
        self._sum = total

    def time(self) -> "Timing":
        """Return a context whose time in seconds is observed at its end."""
        return Timing(self)

    def lines(self) -> Iterator[_Line]:
        """Yield what is shown of it."""
        below = 0
        for bound, below in zip(self._bounds, accumulate(self._counts), strict=True):
            name: str = floatToGoString(bound)  # type: ignore[no-untyped-call]
            yield "_bucket", {"le": name}, float(below)
        yield "_count", {}, float(below)
        yield "_sum", {}, self._sum
        yield _BORN, {}, self._born


class _Shown(Protocol):
    """One series of a metric."""

    def lines(self) -> Iterator[_Line]: ...


_Series = TypeVar("_Series", bound=_Shown)


class _Tally(Collector, Generic[_Series]):
    """A metric with a series for each set of label values that it was asked for."""

    kind: ClassVar[str]

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Sequence[str] = (),
        *,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self.name = name
        self.documentation = documentation
        self.labelnames = tuple(labelnames)
        self._series: dict[tuple[str, ...], _Series] = {}
        if not self.labelnames:
            self.labels()  # one without labels is shown from the start
        registry.register(self)

    def labels(self, *values: str, **named: str) -> _Series:
        """Return the series of these label values, given in order or by name.

        Raises ValueError when they are not one for each label.
        """
        if named:
            values = self._in_order(values, named)
        found = self._series.get(values)
        return self._begin(values) if found is None else found

    def describe(self) -> list[Metric]:
        """Return the metric without its values."""
        return [Metric(self.name, self.documentation, self.kind)]

    def collect(self) -> list[Metric]:
        """Return the metric with its values as they are now."""
        (metric,) = self.describe()
        births = _births_are_shown()
        for values, series in self._series.items():
            labels = dict(zip(self.labelnames, values, strict=True))
            for suffix, more, value in series.lines():
                if suffix != _BORN or births:
                    metric.add_sample(self.name + suffix, labels | more, value)
        return [metric]

    @abstractmethod
    def _new(self) -> _Series: ...

    def _in_order(self, values: tuple[str, ...], named: dict[str, str]) -> tuple[str, ...]:
        if values or named.keys() != set(self.labelnames):
            raise ValueError(f"{self.name} has the labels {self.labelnames}, not {tuple(named)}")
        return tuple(named[name] for name in self.labelnames)

    def _begin(self, values: tuple[str, ...]) -> _Series:
        if len(values) != len(self.labelnames):
            raise ValueError(f"{self.name} has the labels {self.labelnames}, not {len(values)}")
        # Members of an enumeration are found by their value, and shown by it.
        return self._series.setdefault(tuple(str(value) for value in values), self._new())


class Counter(_Tally[Count]):
    """A metric that only rises."""

    kind = "counter"

    def inc(self, amount: int = 1) -> None:
        """Count so many more. Raises ValueError for fewer than none, or if it has labels."""
        self.labels().inc(amount)

    def _new(self) -> Count:
        return Count()


class Histogram(_Tally[Distribution]):
    """A metric of how large things were; `buckets` are the bounds, rising and not negative."""

    kind = "histogram"

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Sequence[str] = (),
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._bounds = [*map(float, buckets), inf]
        if self._bounds != sorted(set(self._bounds)) or self._bounds[0] < 0:
            raise ValueError(f"the bounds of {name} do not rise from nought: {tuple(buckets)}")
        super().__init__(name, documentation, labelnames, registry=registry)

    def observe(self, amount: float) -> None:
        """Count an observation. Raises ValueError if the metric has labels."""
        self.labels().observe(amount)

    def observe_all(self, amounts: Iterable[float]) -> None:
        """Count many observations. Raises ValueError if the metric has labels."""
        self.labels().observe_all(amounts)

    def time(self) -> "Timing":
        """Return a context whose time is observed at its end; it may get its labels until then."""
        return Timing(self)

    def _new(self) -> Distribution:
        return Distribution(self._bounds)


class Timing:
    """A stretch of time that is measured, and observed in seconds when it ends, however it does."""

    __slots__ = ("_began", "_of")

    def __init__(self, of: Histogram | Distribution) -> None:
        self._of = of
        self._began = 0.0

    def labels(self, *values: str, **named: str) -> None:
        """Say which series it counts for. Raises ValueError as `Histogram.labels`, or if it has."""
        if not isinstance(self._of, Histogram):
            raise ValueError("this timing has its labels")  # noqa: TRY004 -- as for any labels
        self._of = self._of.labels(*values, **named)

    def __enter__(self) -> Self:
        self._began = perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._of.observe(perf_counter() - self._began)


def _now() -> float:
    return system_clock().timestamp()


def _births_are_shown() -> bool:
    """Whether the library shows when counting began, which its settings can turn off."""
    (metric,) = prometheus_client.Counter("asked", "Asked.", registry=None).collect()
    return any(sample.name.endswith(_BORN) for sample in metric.samples)
