"""One page of metrics for many processes: fronts tell what they counted, the core adds it up.

Counters and histograms are sums over all processes, the dead ones' last words included, so that no
number ever goes back. Gauges are the core's own: what they speak of is there.
"""

from collections.abc import Iterable, Iterator

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from vending.fronts.frames import Sample

_SUMMED = frozenset({"counter", "histogram"})

_BORN = "_created"
"""A sample that says when counting began; it is nothing to add up."""

Families = dict[str, list[Sample]]
_Key = tuple[str, frozenset[tuple[str, str]]]


def counted() -> Families:
    """Return all that this process has counted."""
    return {
        family.name: [
            Sample(one.name, one.labels, one.value)
            for one in family.samples
            if not one.name.endswith(_BORN)
        ]
        for family in REGISTRY.collect()
        if family.type in _SUMMED and family.name.startswith("stima_")
    }


class Sums:
    """What the fronts have told so far, the living by their number, the dead all together."""

    def __init__(self) -> None:
        self._told: dict[int, Families] = {}
        self._gone: Families = {}

    def hear(self, front: int, families: Families) -> None:
        """Take a front's latest count, in place of its last one."""
        self._told[front] = families

    def gone(self, front: int) -> None:
        """Keep what a front that has gone had counted; its number may be used again."""
        families = self._told.pop(front, {})
        for name, samples in families.items():
            self._gone[name] = _summed([*self._gone.get(name, []), *samples])

    def page(self) -> bytes:
        """Return the metrics of the whole server in Prometheus' text format."""
        registry = CollectorRegistry()
        registry.register(_Whole([self._gone, *self._told.values()]))
        return generate_latest(registry)


class _Whole(Collector):
    """The core's own metrics with the fronts' counts added."""

    def __init__(self, told: list[Families]) -> None:
        self._told = told

    def collect(self) -> Iterator[Metric]:
        for family in REGISTRY.collect():
            more = [sample for one in self._told for sample in one.get(family.name, [])]
            if more and family.type in _SUMMED:
                own = [
                    Sample(one.name, one.labels, one.value)
                    for one in family.samples
                    if not one.name.endswith(_BORN)
                ]
                family.samples = []
                for sample in _summed([*own, *more]):
                    family.add_sample(sample.name, sample.labels, sample.value)
            yield family


def _summed(samples: Iterable[Sample]) -> list[Sample]:
    """Add up samples of one metric that have the same name and labels, in order of appearance."""
    sums: dict[_Key, Sample] = {}
    for one in samples:
        key = one.name, frozenset(one.labels.items())
        before = sums.get(key)
        value = one.value if before is None else before.value + one.value
        sums[key] = Sample(one.name, one.labels, value)
    return list(sums.values())
