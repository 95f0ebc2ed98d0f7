"""Reading a page of metrics."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from vending.loadtest import exposition


def shop() -> tuple[CollectorRegistry, Counter, Histogram]:
    registry = CollectorRegistry()
    sales = Counter("sales", "Sales.", ("shop", "note"), registry=registry)
    Gauge("queue", "People.", registry=registry).set(3)
    waits = Histogram("waits", "Seconds.", ("desk",), buckets=(0.1, 0.5, 1.0), registry=registry)
    return registry, sales, waits


def look(registry: CollectorRegistry) -> dict[str, float]:
    return exposition.parse(generate_latest(registry).decode())


def test_values_and_labels_are_those_the_official_parser_reads() -> None:
    registry, sales, waits = shop()
    sales.labels("a", 'quo"te, new\nline \\ slash {}').inc(2.5)
    waits.labels("1").observe(0.3)
    theirs = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }
    ours = {
        (series.partition("{")[0], tuple(sorted(exposition.labels(series).items()))): value
        for series, value in look(registry).items()
    }
    assert ours == theirs


def test_lines_that_are_no_samples_are_passed_over() -> None:
    text = '# HELP x y\n\nx 1\n<html>\ny nonsense\nz{a="b"} 2 1700000000\nw NaN\n'
    found = exposition.parse(text)
    assert found["x"] == 1
    assert found['z{a="b"}'] == 2
    assert "y" not in found


def test_sums_go_by_the_labels_asked_for() -> None:
    registry, sales, _ = shop()
    for place, note, count in (("a", "x", 1), ("a", "y", 2), ("b", "x", 4)):
        sales.labels(place, note).inc(count)
    seen = look(registry)
    assert exposition.total(seen, "sales_total") == 7
    assert exposition.total(seen, "sales_total", shop="a") == 3
    assert exposition.by(seen, "sales_total", "shop") == {"a": 3, "b": 4}
    assert exposition.by(seen, "sales_total", "shop", "note")["a y"] == 2
    assert exposition.total(seen, "no_such_metric") is None


def test_a_counter_that_began_anew_rose_from_nothing() -> None:
    assert exposition.rise({"x": 100.0}, {"x": 7.0}, "x") == 7
    assert exposition.rise({}, {"x": 7.0}, "x") == 7
    assert exposition.rise({"x": 3.0}, {"x": 7.0}, "x") == 4
    assert exposition.rise({"x": 3.0}, {}, "x") is None


def test_a_percentile_is_of_what_came_between_the_looks() -> None:
    registry, _, waits = shop()
    for _ in range(100):
        waits.labels("1").observe(0.9)
    before = look(registry)
    for _ in range(50):
        waits.labels("1").observe(0.05)
    assert exposition.quantile(before, look(registry), "waits", 0.5) == pytest.approx(0.05)
    assert exposition.quantile(before, look(registry), "waits", 0.99, desk="1") < 0.1  # type: ignore[operator]
    assert exposition.quantile(before, look(registry), "waits", 0.99, desk="2") is None


def test_what_is_beyond_the_last_bound_counts_as_the_bound() -> None:
    registry, _, waits = shop()
    before = look(registry)
    waits.labels("1").observe(99)
    assert exposition.quantile(before, look(registry), "waits", 0.5) == 1.0


def test_of_nothing_there_is_no_percentile() -> None:
    assert exposition.quantile({}, {}, "waits", 0.5) is None
