"""What `vending top` shows: a server's state in a screenful, from two looks at its metrics.

Rates and percentiles are of the time between the looks. What a target does not tell is shown as
"-", so that an older or newer server can be watched too.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vending.loadtest import exposition
from vending.loadtest.exposition import Samples

MISSING = "-"

OLDEST_SECONDS_MAX = 60
"""A payment that waits for longer pages somebody."""

_MEBIBYTE = 2**20

Mood = Literal["calm", "warning", "alarm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line: what it is about, what is, and how bad that is."""

    name: str
    value: str
    mood: Mood = "calm"


def rows(before: Samples, after: Samples, *, seconds: float) -> list[Row]:
    """Return the screen, most urgent first; `seconds` lie between the two looks."""
    return [
        _oldest(after),
        _database(after),
        _sequencer(after),
        *_waiting(before, after, seconds),
        _backlog(after),
        _spool(after),
        Row(name="money in", value=_rates(before, after, seconds, "stima_callbacks_total",
                                          "operator", "call", "answer")),
        Row(name="stored", value=_rates(before, after, seconds, "stima_payments_stored_total",
                                        "operator", "how")),
        Row(name="decided", value=_rates(before, after, seconds, "stima_outcomes_total",
                                         "kind", "reason")),
        _answers(before, after),
        _tills(before, after, seconds),
        Row(name="callback to token", value=_percentiles(before, after, "stima_vend_seconds")),
        _batches(before, after, seconds),
        _messages(before, after, seconds),
        _refused(before, after, seconds),
        _quarantined(after),
        _process(before, after, seconds),
    ]  # fmt: skip


def _oldest(after: Samples) -> Row:
    age = exposition.total(after, "stima_oldest_waiting_seconds")
    if age is None:
        return Row(name="oldest undelivered", value=MISSING)
    mood: Mood = "alarm" if age > OLDEST_SECONDS_MAX else "calm"
    return Row(name="oldest undelivered", value=f"{max(0.0, age):,.0f} s", mood=mood)


def _database(after: Samples) -> Row:
    up = exposition.total(after, "stima_database_up")
    if up is None:
        return Row(name="database", value=MISSING)
    return Row(name="database", value="up" if up else "AWAY", mood="calm" if up else "alarm")


def _sequencer(after: Samples) -> Row:
    owner = exposition.total(after, "stima_sequencer_owner")
    if owner is None:
        return Row(name="vend lease", value=MISSING)
    return Row(
        name="vend lease",
        value="owner" if owner else "standby: another server vends, or none does",
        mood="calm" if owner else "warning",
    )


def _waiting(before: Samples, after: Samples, seconds: float) -> list[Row]:
    """Tell what waits in each lane, and when it will be gone at the present speed."""
    lanes = exposition.by(after, "stima_waiting_payments", "lane")
    if not lanes:
        return [Row(name="waiting payments", value=MISSING)]
    told = ", ".join(f"{count:,.0f} {lane}".rstrip() for lane, count in sorted(lanes.items()))
    waiting = sum(lanes.values())
    decided = exposition.rise(before, after, "stima_outcomes_total") or 0.0
    gone = _gone(waiting / (decided / seconds) if decided else None) if waiting else ""
    mood: Mood = "warning" if waiting and not decided else "calm"
    return [Row(name="waiting payments", value=told + gone, mood=mood)]


def _backlog(after: Samples) -> Row:
    """Tell what waits beside the live payments, and the server's own estimate of its end."""
    late = exposition.total(after, "stima_backlog_payments")
    if late is None:
        return Row(name="backlog", value=MISSING)
    eta = exposition.total(after, "stima_backlog_eta_seconds") or 0.0
    told = f"{late:,.0f} older than a minute or in the spool"
    if math.isfinite(eta):
        return Row(
            name="backlog",
            value=told + (_gone(eta) if late else ""),
            mood="warning" if late else "calm",
        )
    if exposition.total(after, "stima_database_up") == 0:
        unknown = "what the database holds is not known while it is away"
    else:
        unknown = "when they are gone is not known: none is decided, or not all could be counted"
    return Row(name="backlog", value=f"{told}; {unknown}", mood="warning")


def _gone(eta: float | None) -> str:
    return "; nothing is being decided" if eta is None else f"; gone in {eta:,.0f} s at this speed"


def _spool(after: Samples) -> Row:
    size = exposition.total(after, "stima_spool_bytes")
    if size is None:
        return Row(name="spool", value=MISSING)
    spooling = exposition.total(after, "stima_intake_spooling")
    told = f"{size / _MEBIBYTE:,.1f} MiB"
    if payments := exposition.total(after, "stima_spool_payments"):
        eta = exposition.total(after, "stima_spool_eta_seconds")
        known = eta is not None and math.isfinite(eta)
        told += f", {payments:,.0f} payments" + (f", stored in {eta:,.0f} s" if known else "")
    return Row(
        name="spool",
        value=f"{told}{', taking confirmations in' if spooling else ''}",
        mood="warning" if size or spooling else "calm",
    )


def _answers(before: Samples, after: Samples) -> Row:
    parts = [
        f"{call} {told}"
        for call in ("confirm", "check")
        if (told := _percentiles(before, after, "stima_callback_seconds", call=call)) != MISSING
    ]
    return Row(name="answers", value="; ".join(parts) or MISSING)


def _tills(before: Samples, after: Samples, seconds: float) -> Row:
    """Tell what vendors' tills asked, by operation, and how soon they were answered."""
    asked = _rates(before, after, seconds, "stima_vendor_request_seconds_count", "operation")
    took = _percentiles(before, after, "stima_vendor_request_seconds")
    return Row(name="tills", value=asked if took == MISSING else f"{asked}; {took}")


def _batches(before: Samples, after: Samples, seconds: float) -> Row:
    count = exposition.rise(before, after, "stima_batch_payments_count")
    payments = exposition.rise(before, after, "stima_batch_payments_sum")
    if count is None or payments is None:
        return Row(name="batches", value=MISSING)
    failures = exposition.rises(before, after, "stima_batch_failures_total", "cause")
    told = f"{count / seconds:,.1f}/s of {payments / count if count else 0:,.1f} payments"
    if failures:
        told += f"; failed: {_named(failures)}"
    return Row(name="batches", value=told, mood="alarm" if failures else "calm")


def _messages(before: Samples, after: Samples, seconds: float) -> Row:
    waiting = exposition.total(after, "stima_messages_waiting")
    sent = _rates(before, after, seconds, "stima_messages_total", "result")
    given_up = exposition.rise(before, after, "stima_messages_total", result="given_up")
    if waiting is None:
        return Row(name="texts", value=MISSING)
    return Row(
        name="texts",
        value=f"{waiting:,.0f} waiting; {sent}",
        mood="alarm" if given_up else "calm",
    )


def _refused(before: Samples, after: Samples, seconds: float) -> Row:
    refused = _rates(before, after, seconds, "stima_requests_refused_total", "code")
    shed = _rates(before, after, seconds, "stima_shed_total", "class", "reason")
    told = refused if shed == MISSING else f"{refused}; shed {shed}"
    quiet = refused in (MISSING, "none") and shed in (MISSING, "none")
    return Row(name="refused", value=told, mood="calm" if quiet else "warning")


def _quarantined(after: Samples) -> Row:
    reasons = exposition.by(after, "stima_quarantined_total", "reason")
    found = {reason: count for reason, count in reasons.items() if count}
    return Row(
        name="put aside",
        value=f"{_named(found)} since the start" if found else "none since the start",
        mood="alarm" if found else "calm",
    )


def _process(before: Samples, after: Samples, seconds: float) -> Row:
    cpu = exposition.rise(before, after, "process_cpu_seconds_total")
    memory = exposition.total(after, "process_resident_memory_bytes")
    lag = exposition.total(after, "stima_loop_lag_seconds")
    told = [
        *([] if cpu is None else [f"{cpu / seconds * 100:,.0f} % of a core"]),
        *([] if memory is None else [f"{memory / _MEBIBYTE:,.0f} MiB"]),
        *([] if lag is None else [f"loop {lag * 1000:,.0f} ms late"]),
    ]
    return Row(name="server process", value=", ".join(told) or MISSING)


def _percentiles(before: Samples, after: Samples, name: str, **labels: str) -> str:
    half, most = (
        exposition.quantile(before, after, name, share, **labels) for share in (0.5, 0.99)
    )
    if half is None or most is None:
        return MISSING
    return f"half {half * 1000:,.0f} ms, p99 {most * 1000:,.0f} ms"


def _rates(before: Samples, after: Samples, seconds: float, name: str, *label_names: str) -> str:
    """Return rises a second by labels, largest first; "none" when the metric is there but still."""
    if exposition.total(after, name) is None:
        return MISSING
    risen = exposition.rises(before, after, name, *label_names)
    if not risen:
        return "none"
    ordered = sorted(risen.items(), key=lambda one: -one[1])
    return ", ".join(f"{count / seconds:,.1f}/s {key}".rstrip() for key, count in ordered)


def _named(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{count:,.0f} {key}" for key, count in counts.items())
