"""What fronts count is added up, and no sum ever goes back."""

import pytest
from prometheus_client import REGISTRY

from vending import metrics
from vending.fronts import tally
from vending.fronts.frames import Sample
from vending.fronts.tally import Sums

NAME = "stima_delivery_reports_total"


def reports(status: str, count: float) -> tally.Families:
    return {"stima_delivery_reports": [Sample(NAME, {"status": status}, count)]}


def value(sums: Sums, status: str) -> float | None:
    for line in sums.page().decode().splitlines():
        if line.startswith(f'{NAME}{{status="{status}"}} '):
            return float(line.rpartition(" ")[2])
    return None


@pytest.fixture
def own() -> float:
    """Count one here, and say how many there are."""
    metrics.delivery_reports.labels(status="here").inc()
    counted = REGISTRY.get_sample_value(NAME, {"status": "here"})
    assert counted is not None
    return counted


def test_counts_of_all_processes_are_added_up(own: float) -> None:
    sums = Sums()
    sums.hear(1, reports("here", 2))
    sums.hear(2, reports("here", 3))
    assert value(sums, "here") == own + 5
    sums.hear(1, reports("here", 4))
    assert value(sums, "here") == own + 7


def test_what_only_a_front_has_counted_is_there_too() -> None:
    sums = Sums()
    sums.hear(1, reports("there", 2))
    assert value(sums, "there") == 2


def test_what_a_front_had_counted_stays_when_it_is_gone(own: float) -> None:
    sums = Sums()
    sums.hear(1, reports("here", 2))
    sums.gone(1)
    sums.gone(1)
    assert value(sums, "here") == own + 2
    sums.hear(1, reports("here", 1))
    sums.gone(1)
    assert value(sums, "here") == own + 3


def test_histograms_are_added_up_bucket_by_bucket() -> None:
    metrics.vend_seconds.observe(0.002)
    before = REGISTRY.get_sample_value("stima_vend_seconds_count")
    sums = Sums()
    sums.hear(1, tally.counted())
    text = sums.page().decode()
    assert before is not None
    assert f"stima_vend_seconds_count {2 * before}" in text
    assert f'stima_vend_seconds_bucket{{le="+Inf"}} {2 * before}' in text


def test_gauges_are_the_cores_own() -> None:
    metrics.messages_waiting.set(3)
    sums = Sums()
    told = tally.counted()
    assert "stima_messages_waiting" not in told
    sums.hear(1, {"stima_messages_waiting": [Sample("stima_messages_waiting", {}, 4)]})
    assert "stima_messages_waiting 3.0" in sums.page().decode()
