"""The vendors' API over HTTP: one table of operations, and what reads, runs and describes it.

`table` lists every operation. From it come the routes and the order of a request (`reception`), the
decoding (`asked`), the description at /openapi.json (`description`) and its page. `callers` says
who calls, `quotas` how often they may, `problems` how a refusal looks, `teller` holds what
operations work with; a front sends those that write to its core as `errands`. The other modules are
the resources.
"""
