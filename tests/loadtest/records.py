"""A load test's record as the tests need it, without a server."""

from datetime import UTC, datetime
from typing import Any

from vending.loadtest import latency
from vending.loadtest.run import Asked, Ended, Look, Run, Second
from vending.loadtest.scenarios import named


def samples(
    *,
    stored: int = 0,
    decided: int = 0,
    waiting: int = 0,
    oldest: float = 0.0,
    quarantined: int = 0,
) -> dict[str, float]:
    """Return what a server's metrics show after so much work."""
    found: dict[str, float] = {
        'stima_callbacks_total{answer="stored",call="confirm",operator="mpesa"}': stored,
        'stima_payments_stored_total{how="stored",operator="mpesa"}': stored,
        'stima_outcomes_total{kind="token_issued",reason=""}': decided,
        "stima_waiting_payments": waiting,
        "stima_oldest_waiting_seconds": oldest,
        'stima_vend_seconds_bucket{le="0.01"}': decided,
        'stima_vend_seconds_bucket{le="0.025"}': decided,
        'stima_vend_seconds_bucket{le="+Inf"}': decided,
        "process_cpu_seconds_total": 1 + decided / 1000,
        "process_resident_memory_bytes": 90 * 2**20,
    }
    if quarantined:
        found['stima_quarantined_total{reason="notice_conflicts"}'] = quarantined
    return found


def second(
    number: int, *, confirms: int = 10, seconds: float = 0.005, status: str = "200", unsent: int = 0
) -> Second:
    """Return a second in which so many confirmations were offered and settled alike."""
    answered = {"confirm": {status: confirms}} if confirms else {}
    slow = {"confirm": {latency.bucket_of(seconds): confirms}} if confirms else {}
    return Second(
        second=number,
        offered={"confirm": confirms} if confirms else {},
        answered=answered,
        latency=slow if status.isdecimal() else {},
        unsent=unsent,
        cpu_seconds=0.01,
        memory_bytes=40 * 2**20,
    )


def record(scenario: str = "steady-day", *, seconds: list[Second] | None = None, **but: Any) -> Run:
    """Return a run of ten quiet seconds in which everything held, but for what is given."""
    seconds = seconds if seconds is not None else [second(number) for number in range(10)]
    payments = sum(one.offered.get("confirm", 0) for one in seconds)
    ended: dict[str, Any] = {
        "seconds": float(len(seconds)),
        "requests": payments,
        "payments": payments,
        "unacknowledged": 0,
        "refused_at_check": 0,
        "reconnects": 0,
        "cpu_seconds": 0.1,
        "lag": {latency.bucket_of(0.0002): payments},
    }
    looks = but.pop("looks", None) or [
        Look(at=0.0, samples=samples()),
        Look(at=5.0, samples=samples(stored=payments // 2, decided=payments // 2)),
        Look(at=10.0, samples=samples(stored=payments, decided=payments)),
    ]
    limits = but.pop("limits", None)
    return Run(
        asked=Asked(
            scenario=scenario,
            target="http://127.0.0.1:8080",
            seed=7,
            seconds=float(len(seconds)),
            scale=1.0,
            customers=1000,
            connections=64,
            limits=dict(named(scenario).limits) if limits is None else limits,
        ),
        started_at=datetime(2026, 11, 22, 8, 0, tzinfo=UTC),
        seconds=seconds,
        ended=Ended(**(ended | but)),
        looks=looks,
    )
