"""Every counter, gauge and histogram of the server, declared on one page.

Label values come from closed lists in the code, never from a request. docs/reference/metrics.md
describes each one and a test holds it to this module. Those of `tallies` change with every sale or
message, and on the event loop's thread only.
"""

from prometheus_client import Counter, Gauge

from vending import tallies

_LATENCY_BUCKETS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0
)  # fmt: skip
_BATCH_BUCKETS = (1, 2, 5, 10, 25, 50, 100, 200, 500)

callbacks = tallies.Counter(
    "stima_callbacks", "Operator callbacks answered.", ("operator", "call", "answer")
)
callback_seconds = tallies.Histogram(
    "stima_callback_seconds",
    "From a callback's arrival to our answer.",
    ("operator", "call"),
    buckets=_LATENCY_BUCKETS,
)
vendor_seconds = tallies.Histogram(
    "stima_vendor_request_seconds",
    "From a vendor's head to our answer, refusals included.",
    ("operation",),
    buckets=_LATENCY_BUCKETS,
)
requests_refused = tallies.Counter(
    "stima_requests_refused", "Requests answered with a problem, by its code.", ("code",)
)
payments_stored = tallies.Counter(
    "stima_payments_stored", "Payments in the inbox, by what the store found.", ("operator", "how")
)
intake_spooling = Gauge(
    "stima_intake_spooling", "1 while confirmations go to the spool and not to the database."
)
spooled = Counter(
    "stima_spooled", "Things kept in the spool and acknowledged from there.", ("what",)
)
spool_replayed = Counter(
    "stima_spool_replayed", "Things brought from the spool into the database.", ("how",)
)
spool_refused = Counter(
    "stima_spool_refused", "Confirmations neither inbox nor spool took; page on any.", ("why",)
)
spool_damaged = Counter(
    "stima_spool_damaged", "Stretches of the spool that were no frame; look at any.", ("kind",)
)
spool_bytes = Gauge("stima_spool_bytes", "Bytes in the spool, not yet in the database.")
spool_payments = Gauge(
    "stima_spool_payments", "Payments in the spool, not yet in the database; about, after a start."
)
spool_eta_seconds = Gauge(
    "stima_spool_eta_seconds", "In how long these are in the database; +Inf: it takes none now."
)
spool_oldest_seconds = Gauge(
    "stima_spool_oldest_seconds", "Age of the oldest payment that was spooled in this outage."
)
quarantined = Counter(
    "stima_quarantined", "Things put aside for a person; alarm when it moves.", ("reason",)
)
outcomes = tallies.Counter("stima_outcomes", "Payments decided, by outcome.", ("kind", "reason"))
vend_seconds = tallies.Histogram(
    "stima_vend_seconds",
    "From a payment's arrival to its committed outcome.",
    buckets=_LATENCY_BUCKETS,
)
batch_payments = tallies.Histogram(
    "stima_batch_payments", "Payments in one vend commit.", buckets=_BATCH_BUCKETS
)
batch_failures = Counter(
    "stima_batch_failures", "Vend batches that failed and were halved or put back.", ("cause",)
)
waiting_payments = Gauge(
    "stima_waiting_payments", "Payments handed to the sequencer and not yet decided."
)
backlog_payments = Gauge(
    "stima_backlog_payments",
    "Payments that wait: older than a minute, in memory and on disk, or in the spool.",
)
backlog_eta_seconds = Gauge(
    "stima_backlog_eta_seconds",
    "In how long these are done at the measured rate; +Inf: unknown, as without a database.",
)
oldest_waiting_seconds = Gauge(
    "stima_oldest_waiting_seconds", "Age of the oldest paid and undecided payment."
)
sequencer_owner = Gauge("stima_sequencer_owner", "1 while this server owns the vend lease.")
messages = tallies.Counter("stima_messages", "Messages handled by the relay.", ("kind", "result"))
messages_waiting = Gauge("stima_messages_waiting", "Messages not yet handed to the carrier.")
webhook_attempts = tallies.Counter(
    "stima_webhook_attempts",
    "Calls of vendors' endpoints, by what came of them.",
    ("type", "result"),
)
webhook_seconds = tallies.Histogram(
    "stima_webhook_seconds", "How long endpoints took to answer.", buckets=_LATENCY_BUCKETS
)
webhooks_given_up = Counter(
    "stima_webhooks_given_up", "Deliveries tried for the last time; replay is by hand.", ("type",)
)
webhooks_waiting = Gauge(
    "stima_webhooks_waiting", "Deliveries that wait for endpoints that are enabled."
)
webhook_endpoints_disabled = Counter(
    "stima_webhook_endpoints_disabled",
    "Endpoints disabled by the server; tell their vendor.",
    ("reason",),
)
ussd_screens = tallies.Counter("stima_ussd_screens", "USSD screens answered.", ("screen",))
delivery_reports = tallies.Counter(
    "stima_delivery_reports", "Delivery reports received.", ("status",)
)
shed = tallies.Counter(
    "stima_shed", "Requests refused because there was too much to do.", ("class", "reason")
)
loop_lag_seconds = Gauge("stima_loop_lag_seconds", "How late the event loop last was.")
fronts = Gauge("stima_fronts", "Front processes that serve now; 0 without server.workers.")
waiting_for_database = Gauge(
    "stima_waiting_for_database",
    "1 while a server that has just started waits for its database.",
)
database_up = Gauge("stima_database_up", "1 while the database answers.")
