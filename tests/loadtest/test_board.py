"""What `vending top` shows."""

import math

import pytest

from vending.loadtest import board

BEFORE = {
    'stima_callbacks_total{answer="stored",call="confirm",operator="mpesa"}': 10.0,
    'stima_outcomes_total{kind="token_issued",reason=""}': 10.0,
    "stima_waiting_payments": 0.0,
    "stima_oldest_waiting_seconds": 0.0,
    "stima_database_up": 1.0,
    "stima_sequencer_owner": 1.0,
    "stima_messages_waiting": 2.0,
    "stima_batch_payments_count": 5.0,
    "stima_batch_payments_sum": 10.0,
    "stima_spool_bytes": 0.0,
    'stima_vend_seconds_bucket{le="0.01"}': 10.0,
    'stima_vend_seconds_bucket{le="0.1"}': 10.0,
    'stima_vend_seconds_bucket{le="+Inf"}': 10.0,
    "process_cpu_seconds_total": 1.0,
    "process_resident_memory_bytes": 100.0 * 2**20,
}


def shown(**later: float) -> dict[str, board.Row]:
    """Show what is after two seconds; names are those of BEFORE without stima_ and labels."""
    after = dict(BEFORE)
    for name, value in later.items():
        (series,) = [one for one in BEFORE if one.removeprefix("stima_").startswith(name)]
        after[series] = value
    return {row.name: row for row in board.rows(BEFORE, after, seconds=2)}


def test_a_quiet_server_is_calm() -> None:
    rows = shown()
    assert {row.mood for row in rows.values()} == {"calm"}
    assert rows["database"].value == "up"
    assert rows["money in"].value == "none"


def test_rates_are_of_the_time_between_the_looks() -> None:
    rows = shown(
        callbacks_total=30, outcomes_total=20, batch_payments_count=7, batch_payments_sum=20
    )
    assert rows["money in"].value == "10.0/s mpesa confirm stored"
    assert rows["decided"].value == "5.0/s token_issued"
    assert rows["batches"].value == "1.0/s of 5.0 payments"


def test_a_percentile_is_of_the_time_between_the_looks() -> None:
    after = BEFORE | {
        'stima_vend_seconds_bucket{le="0.1"}': 110.0,
        'stima_vend_seconds_bucket{le="+Inf"}': 110.0,
    }
    row = {row.name: row for row in board.rows(BEFORE, after, seconds=1)}["callback to token"]
    assert row.value == "half 55 ms, p99 99 ms"


def test_tills_are_told_by_what_they_ask() -> None:
    def counted(sales: float, looks: float) -> dict[str, float]:
        name = "stima_vendor_request_seconds"
        return {
            f'{name}_count{{operation="sell"}}': sales,
            f'{name}_count{{operation="look_up"}}': looks,
            f'{name}_bucket{{le="0.1",operation="sell"}}': sales,
            f'{name}_bucket{{le="+Inf",operation="sell"}}': sales,
        }

    (row,) = [
        one for one in board.rows(counted(10, 5), counted(50, 25), seconds=2) if one.name == "tills"
    ]
    assert row.value == "20.0/s sell, 10.0/s look_up; half 50 ms, p99 99 ms"
    (still,) = [
        one for one in board.rows(counted(10, 5), counted(10, 5), seconds=2) if one.name == "tills"
    ]
    assert still.value == "none"


def test_what_waits_says_when_it_will_be_gone() -> None:
    assert shown(waiting_payments=50, outcomes_total=20)["waiting payments"].value == (
        "50; gone in 10 s at this speed"
    )
    still = shown(waiting_payments=50)["waiting payments"]
    assert (still.value, still.mood) == ("50; nothing is being decided", "warning")


def test_lanes_are_told_apart_where_the_server_does() -> None:
    after = {'stima_waiting_payments{lane="fresh"}': 2.0, 'stima_waiting_payments{lane="old"}': 9.0}
    (row,) = [one for one in board.rows({}, after, seconds=1) if one.name == "waiting payments"]
    assert row.value.startswith("2 fresh, 9 old")


UNCOUNTED = "when they are gone is not known: none is decided, or not all could be counted"
AWAY = "what the database holds is not known while it is away"


@pytest.mark.parametrize(
    ("late", "eta", "up", "told", "mood"),
    [
        (0, 0, 1, "0 older than a minute or in the spool", "calm"),
        (
            500, 20, 1,
            "500 older than a minute or in the spool; gone in 20 s at this speed", "warning",
        ),
        (
            500, float("inf"), 1,
            "500 older than a minute or in the spool; " + UNCOUNTED,
            "warning",
        ),
        (
            0, float("inf"), 0,
            "0 older than a minute or in the spool; " + AWAY,
            "warning",
        ),
    ],
)  # fmt: skip
def test_the_backlog_is_told_with_the_servers_own_estimate(
    late: float, eta: float, up: float, told: str, mood: str
) -> None:
    after = {
        "stima_backlog_payments": late,
        "stima_backlog_eta_seconds": eta,
        "stima_database_up": up,
    }
    (row,) = [one for one in board.rows({}, after, seconds=1) if one.name == "backlog"]
    assert (row.value, row.mood) == (told, mood)


@pytest.mark.parametrize(
    ("later", "name", "value"),
    [
        ({"oldest_waiting_seconds": 61}, "oldest undelivered", "61 s"),
        ({"database_up": 0}, "database", "AWAY"),
    ],
)
def test_what_must_wake_somebody_is_an_alarm(
    later: dict[str, float], name: str, value: str
) -> None:
    row = shown(**later)[name]
    assert (row.value, row.mood) == (value, "alarm")


def test_what_is_put_aside_given_up_or_fails_is_an_alarm() -> None:
    after = BEFORE | {
        'stima_quarantined_total{reason="notice_malformed"}': 2.0,
        'stima_messages_total{kind="receipt",result="given_up"}': 1.0,
        'stima_batch_failures_total{cause="Poison"}': 1.0,
    }
    moods = {row.name: row.mood for row in board.rows(BEFORE, after, seconds=1)}
    assert moods["put aside"] == moods["texts"] == moods["batches"] == "alarm"


def test_refusals_and_a_spool_in_use_are_warnings() -> None:
    after = BEFORE | {
        'stima_requests_refused_total{code="overloaded"}': 4.0,
        'stima_shed_total{class="P3",reason="queue"}': 4.0,
        "stima_spool_bytes": 2.0**21,
        "stima_intake_spooling": 1.0,
        "stima_sequencer_owner": 0.0,
    }
    rows = {row.name: row for row in board.rows(BEFORE, after, seconds=2)}
    assert rows["refused"].value == "2.0/s overloaded; shed 2.0/s P3 queue"
    assert rows["spool"].value == "2.0 MiB, taking confirmations in"
    assert {rows[name].mood for name in ("refused", "spool", "vend lease")} == {"warning"}


@pytest.mark.parametrize(("eta", "told"), [(4.0, ", stored in 4 s"), (math.inf, "")])
def test_a_spool_says_how_many_wait_in_it_and_for_how_long(eta: float, told: str) -> None:
    after = BEFORE | {
        "stima_spool_bytes": 2.0**21,
        "stima_spool_payments": 2_000.0,
        "stima_spool_eta_seconds": eta,
    }
    rows = {row.name: row for row in board.rows(BEFORE, after, seconds=2)}
    assert rows["spool"].value == f"2.0 MiB, 2,000 payments{told}"


def test_a_server_that_tells_nothing_is_shown_all_the_same() -> None:
    rows = board.rows({}, {}, seconds=1)
    assert {row.value for row in rows} == {board.MISSING, "none since the start"}
