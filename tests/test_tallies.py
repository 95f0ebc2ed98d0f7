"""The cheap counters and histograms say, line by line, what the library's own would say."""

import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from math import inf

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import (
    CollectorRegistry,
    disable_created_metrics,
    enable_created_metrics,
    generate_latest,
)

from vending import metrics, tallies

BUCKETS = (0.001, 0.25, 0.5, 1.0, 2.5, 1000000.0, 1e30)
MEANING = 'Things "kept",\nand \\ told.'

Kind = type[tallies.Histogram] | type[prometheus_client.Histogram]

HISTOGRAMS: tuple[Kind, Kind] = (tallies.Histogram, prometheus_client.Histogram)


class Answer(StrEnum):
    """Label values are often members of one."""

    YES = "yes"


class Broken(Exception):
    """Ends a stretch of time."""


def page(registry: CollectorRegistry) -> str:
    """Return what is shown, without the moment at which each series began."""
    return re.sub(r"(_created.* )[0-9.e+]+\n", r"\1then\n", generate_latest(registry).decode())


def counters() -> tuple[str, str]:
    """Return the pages of the two kinds of counters after the same counts."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    for labelled, bare in (
        (
            tallies.Counter("shop_sales", MEANING, ("till", "answer"), registry=ours),
            tallies.Counter("shop_closings", "Closings.", registry=ours),
        ),
        (
            prometheus_client.Counter("shop_sales", MEANING, ("till", "answer"), registry=theirs),
            prometheus_client.Counter("shop_closings", "Closings.", registry=theirs),
        ),
    ):
        labelled.labels("b", Answer.YES).inc()
        labelled.labels(answer="no", till="b").inc(3)
        labelled.labels('a"\\\n', "no").inc(2_000_000)
        labelled.labels("b", "yes").inc(0)
        labelled.labels("c", "never")
        bare.inc()
    return page(ours), page(theirs)


def waits(kind: Kind, seconds: list[float]) -> str:
    """Return the page of a histogram with labels and one without, after the same observations."""
    registry = CollectorRegistry()
    labelled = kind("shop_waits", MEANING, ("till",), buckets=BUCKETS, registry=registry)
    bare = kind("shop_looks", "Looks.", buckets=BUCKETS, registry=registry)
    labelled.labels("idle")
    for one in seconds:
        labelled.labels("1").observe(one)
        bare.observe(one)
    return page(registry)


@pytest.fixture
def series() -> tallies.Distribution:
    metric = tallies.Histogram(
        "waits", "Seconds.", ("till",), buckets=(0.5, 1), registry=CollectorRegistry()
    )
    return metric.labels("1")


def lines(series: tallies.Distribution) -> dict[str, float]:
    return {
        suffix + more.get("le", ""): value
        for suffix, more, value in series.lines()
        if suffix != "_created"
    }


def test_counters_are_shown_as_the_librarys_are() -> None:
    ours, theirs = counters()
    assert ours == theirs
    assert 'shop_sales_total{answer="no",till="b"} 3.0' in ours


@given(st.lists(st.sampled_from([0.0, *BUCKETS, inf]) | st.floats(0, 1e6), max_size=20))
def test_histograms_are_shown_as_the_librarys_are(seconds: list[float]) -> None:
    ours, theirs = (waits(kind, seconds) for kind in HISTOGRAMS)
    assert ours == theirs


def test_what_is_on_a_bound_is_within_it_and_buckets_add_up(series: tallies.Distribution) -> None:
    for seconds in (0.25, 0.5, 0.75, 1, 1.25):
        series.observe(seconds)
    assert lines(series) == {
        "_bucket0.5": 2, "_bucket1.0": 4, "_bucket+Inf": 5, "_count": 5, "_sum": 3.75,
    }  # fmt: skip


def test_many_are_observed_as_each_would_be(series: tallies.Distribution) -> None:
    metric = tallies.Histogram("x", "X.", buckets=(0.5, 1), registry=CollectorRegistry())
    seconds = [0.25, 0.5, 0.75, 1.0, 1.25]
    for _ in range(2):
        metric.observe_all(iter(seconds))
        for one in seconds:
            series.observe(one)
    metric.observe_all([])
    assert lines(metric.labels()) == lines(series)


@pytest.fixture
def no_births() -> Iterator[None]:
    disable_created_metrics()  # type: ignore[no-untyped-call]
    yield
    enable_created_metrics()  # type: ignore[no-untyped-call]


@pytest.mark.usefixtures("no_births")
def test_when_counting_began_is_left_out_with_the_librarys_own() -> None:
    ours, theirs = counters()
    assert ours == theirs
    assert "_created" not in ours
    assert [waits(kind, [0.3]) for kind in HISTOGRAMS] == [waits(HISTOGRAMS[1], [0.3])] * 2


def test_a_series_began_when_it_was_first_asked_for() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    prometheus_client.Counter("before", "Before.", registry=theirs)
    metric = tallies.Counter("x", "X.", ("a",), registry=ours)
    metric.labels("1")
    prometheus_client.Counter("after", "After.", registry=theirs)
    first, began, last = (
        registry.get_sample_value(name, labels)
        for registry, name, labels in (
            (theirs, "before_created", {}),
            (ours, "x_created", {"a": "1"}),
            (theirs, "after_created", {}),
        )
    )
    assert first is not None
    assert began is not None
    assert last is not None
    assert first - 0.001 <= began <= last + 0.001
    metric.labels("1").inc()
    assert ours.get_sample_value("x_created", {"a": "1"}) == began


def test_a_label_set_has_one_series() -> None:
    metric = tallies.Counter("x", "X.", ("a", "b"), registry=CollectorRegistry())
    series = metric.labels("yes", "2")
    assert metric.labels("yes", "2") is series
    assert metric.labels(Answer.YES, "2") is series
    assert metric.labels(b="2", a="yes") is series
    assert metric.labels("2", "yes") is not series


@pytest.mark.parametrize(
    "ask",
    [
        lambda metric: metric.labels("1"),
        lambda metric: metric.labels("1", "2", "3"),
        lambda metric: metric.labels(),
        lambda metric: metric.labels(a="1"),
        lambda metric: metric.labels(a="1", b="2", c="3"),
        lambda metric: metric.labels(a="1", c="2"),
        lambda metric: metric.labels("1", b="2"),
        lambda metric: metric.inc(),
    ],
    ids=["few", "many", "none", "few named", "many named", "other named", "mixed", "unasked"],
)
def test_labels_that_do_not_fit_are_refused_and_show_nothing(
    ask: Callable[[tallies.Counter], object],
) -> None:
    registry = CollectorRegistry()
    metric = tallies.Counter("x", "X.", ("a", "b"), registry=registry)
    with pytest.raises(ValueError, match="x has the labels"):
        ask(metric)
    assert page(registry) == "# HELP x_total X.\n# TYPE x_total counter\n"


def test_a_histogram_with_labels_is_observed_only_by_them() -> None:
    metric = tallies.Histogram("x", "X.", ("a",), buckets=(1,), registry=CollectorRegistry())
    with pytest.raises(ValueError, match="x has the labels"):
        metric.observe(1)
    with pytest.raises(ValueError, match="x has the labels"):
        metric.observe_all([1])
    with pytest.raises(ValueError, match="x has the labels"), metric.time():
        pass


def test_a_counter_never_goes_back() -> None:
    metric = tallies.Counter("x", "X.", registry=CollectorRegistry())
    metric.inc(2)
    with pytest.raises(ValueError, match="never goes back"):
        metric.inc(-1)
    assert metric.labels().value == 2


@pytest.mark.parametrize("buckets", [(2, 1), (1, 1), (-1, 1), (1, inf)])
def test_bounds_that_do_not_rise_from_nought_are_refused(buckets: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="do not rise"):
        tallies.Histogram("x", "X.", buckets=buckets, registry=CollectorRegistry())


def test_two_metrics_of_one_name_are_refused() -> None:
    registry = CollectorRegistry()
    tallies.Counter("x", "X.", registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        tallies.Histogram("x", "X.", buckets=(1,), registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        prometheus_client.Counter("x", "X.", registry=registry)


def test_a_stretch_of_time_is_observed_once_however_it_ends(series: tallies.Distribution) -> None:
    with series.time():
        assert lines(series)["_count"] == 0
    assert lines(series)["_count"] == 1
    with pytest.raises(Broken), series.time():
        raise Broken
    assert lines(series)["_count"] == 2
    assert 0 < lines(series)["_sum"] < 60


def test_a_stretch_of_time_may_get_its_labels_while_it_runs() -> None:
    registry = CollectorRegistry()
    metric = tallies.Histogram("x", "X.", ("a",), buckets=(60,), registry=registry)
    with metric.time() as timer:
        timer.labels("1")
    with metric.time() as timer:
        timer.labels(a="2")
        with pytest.raises(ValueError, match="has its labels"):
            timer.labels("3")
    assert [registry.get_sample_value("x_count", {"a": one}) for one in "123"] == [1, 1, None]


def test_the_servers_own_are_on_its_page() -> None:
    """As `get_sample_value` and the fronts' sums find them there."""
    before = metrics.callbacks.labels("mpesa", "check", "accepted").value
    metrics.callbacks.labels("mpesa", "check", "accepted").inc()
    labels = {"operator": "mpesa", "call": "check", "answer": "accepted"}
    shown = prometheus_client.REGISTRY.get_sample_value("stima_callbacks_total", labels)
    assert shown == before + 1
