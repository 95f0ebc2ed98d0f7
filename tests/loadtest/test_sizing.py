"""The sizing of a utility."""

from fractions import Fraction

from vending.loadtest import sizing


def plan(vends: int | None = 9000, meters: int = 7_400_000, purchases: str = "3") -> dict[str, str]:
    lines = sizing.plan(
        meters=meters,
        purchases_a_month=Fraction(purchases),
        outage_hours=Fraction(15),
        vends_a_second=None if vends is None else Fraction(vends),
        speed_source="as given",
    )
    assert all(line.sum for line in lines)
    return {line.what: line.result for line in lines}


def test_the_utility_of_the_design_comes_to_the_known_numbers() -> None:
    found = plan()
    assert found["payments a day"] == "740,000"
    assert found["mean"] == "8.6/s"
    assert found["peak"] == "85.6/s, 172 requests/s"
    assert found["backlog"] == "462,500 payments"
    assert found["backlog, evening"] == "555,000 payments"
    assert found["drain time"] == "62 s"
    assert found["texts to drain"] == "155 texts/s for an hour"
    assert found["disk a month"] == "17.1 GB"


def test_other_rates_come_to_the_published_table() -> None:
    assert plan(purchases="1.5")["mean"] == "4.3/s"
    assert plan(purchases="8")["mean"] == "22.8/s"
    assert plan(purchases="8")["backlog, evening"] == "1,480,000 payments"


def test_without_a_measured_speed_the_drain_is_left_open() -> None:
    assert "make bench" in plan(vends=None)["drain time"]


def test_a_server_slower_than_live_traffic_never_drains() -> None:
    assert plan(vends=8)["drain time"].startswith("never")


def test_a_busy_stream_logs_fewer_bytes_a_vend_than_a_quiet_one() -> None:
    assert plan()["WAL a day"] == "11.8 GB"
    assert plan(meters=74_000_000)["WAL a day"] == "10.7 GB"
