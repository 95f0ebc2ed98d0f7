"""What other programs print, and what rows say, is read right."""

from array import array
from pathlib import Path

import pytest

from benchmarks import committed, core_rates, surges
from benchmarks.cluster import tps
from benchmarks.gun import Fired
from benchmarks.site import Fire, numbers_of, port_in

PGBENCH = """transaction type: <builtin: TPC-B (sort of)>
latency average = 2.930 ms
initial connection time = 20.100 ms
tps = 5465.123 (without initial connection time)
"""

TABLE = """EA07 derive and issue, batch           1,990,721 /s
EA07 decode, ready key, batch           4,247,561 /s below its floor
EA11 derive and issue, batch              990721 /s
"""


def test_what_pgbench_reached_is_read_from_its_last_word() -> None:
    assert tps(PGBENCH) == pytest.approx(5465.123)


def test_a_pgbench_that_says_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="aborted"):
        tps("pgbench: error: client 3 aborted")


def test_the_tables_of_the_core_are_read_with_and_without_commas() -> None:
    rates = core_rates.rates(TABLE)
    assert rates["derive and issue, batch"] == {"EA07": 1_990_721, "EA11": 990_721}
    assert rates["decode, ready key, batch"] == {"EA07": 4_247_561}


def a_fire() -> Fire:
    return Fire(
        prefix="ABCDE",
        fired=Fired(
            began=1000.0, seconds=3.0, cpu_seconds=0.0, reconnects=0,
            due=array("d", [0.0, 1.0, 2.0]).tobytes(),
            latency=array("d", [0.1, 0.2, 0.3]).tobytes(),
            status=array("H", [200, 503, 201]).tobytes(),
        ),
    )  # fmt: skip


def test_a_token_s_wait_counts_from_when_its_payment_was_due() -> None:
    waits = committed.waits(a_fire(), {0: 1000.5, 2: 1002.25})
    assert list(waits) == pytest.approx([0.5, -1.0, 0.25])


def test_what_was_answered_is_what_got_a_2xx() -> None:
    assert a_fire().answered == 2


def test_values_are_taken_from_an_interval_and_sorted_without_the_missing() -> None:
    assert committed.within([0, 1, 2, 3], [0.4, -1.0, 0.2, 0.1], 0, 3) == [0.2, 0.4]


def test_every_duration_falls_into_one_bar_of_the_histogram() -> None:
    bars = surges.histogram([0.0, 0.0009, 0.001, 0.049, 0.05, 99.0])
    assert sum(count for _, count in bars) == 6
    assert dict(bars)["0-1"] == 2
    assert dict(bars)["50-75"] == 1
    assert bars[-1] == ("10000+", 1)


def test_the_histogram_ends_with_its_last_bar_that_has_something() -> None:
    assert surges.histogram([0.0015]) == [("0-1", 0), ("1-2", 1)]


def test_memory_that_grows_by_a_megabyte_a_minute_grows_by_sixty_an_hour() -> None:
    points = [(60.0 * minute, 100.0 + minute) for minute in range(10)]
    assert surges.slope_per_hour(points) == pytest.approx(60)


def test_a_server_says_where_it_listens_or_nothing_yet(tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    log.write_text('{"event":"this server vends"}\n')
    assert port_in(log) is None
    log.write_text(
        '{"event":"this server vends"}\n'
        '{"module":"serve","url":"http://127.0.0.1:43210","event":"listening"}\n'
    )
    assert port_in(log) == 43210


def test_meter_numbers_are_the_first_column_of_an_import(tmp_path: Path) -> None:
    path = tmp_path / "meters.csv"
    path.write_text("meter_number,sgc\n14123456780,201457\n3140123456788,201458\n")
    assert numbers_of(path) == ["14123456780", "3140123456788"]
