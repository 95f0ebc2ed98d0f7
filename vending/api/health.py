"""What our own monitoring may ask: is it alive, may it have traffic, has it started, the numbers.

Alive means that the process answers at all; only ready looks further. A server that stands by for
another's lease is ready: it takes payments in, and the owner vends them.
"""

import asyncio
from typing import Literal

import msgspec
import prometheus_client
from aiohttp import web

from vending import metrics
from vending.api.doors import Doors

DATABASE_SECONDS_MAX = 1.0
"""A probe's own patience is a few seconds; a database that needs one for `select 1` is away."""

_PING = "select 1"


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """The body of /health/ready."""

    ready: bool
    database: Literal["up", "away"]
    keys: Literal["loaded", "missing"]
    tariffs: Literal["loaded", "missing"]
    sequencer: Literal["owner", "standby"]
    waits_because: str | None
    waiting_payments: int


def routes(doors: Doors) -> list[web.RouteDef]:
    """Return the routes for monitoring. They hold no secret: keep them off the public proxy."""
    probes = Probes(doors)
    return [
        web.get("/health/live", probes.live),
        web.get("/health/ready", probes.ready),
        web.get("/health/start", probes.start),
        web.get("/metrics", probes.metrics),
    ]


class Probes:
    """Answers probes; 200 is yes and 503 is no."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._pings: set[asyncio.Task[bool]] = set()

    async def live(self, _request: web.Request) -> web.Response:
        """Say that the process runs and its loop turns."""
        return _answer({"live": True}, yes=True)

    async def start(self, _request: web.Request) -> web.Response:
        """Say whether the server takes money: one that waits for its database does.

        Whoever restarts what has not started in time would shut a door that is needed open.
        """
        started = self._doors.started()
        return _answer({"started": started}, yes=started)

    async def ready(self, _request: web.Request) -> web.Response:
        """Say whether requests should be sent here, and what is missing if not."""
        up = await self._database_answers()
        metrics.database_up.set(int(up))
        keys, tariffs = self._doors.keys_loaded(), self._doors.tariffs_loaded()
        because = self._doors.waits_because()
        ready = up and keys and tariffs and self._doors.started() and because is None
        readiness = Readiness(
            ready=ready,
            database="up" if up else "away",
            keys="loaded" if keys else "missing",
            tariffs="loaded" if tariffs else "missing",
            sequencer="owner" if self._doors.sequencer.running else "standby",
            waits_because=because,
            waiting_payments=self._doors.sequencer.waiting,
        )
        return _answer(readiness, yes=ready)

    async def metrics(self, _request: web.Request) -> web.Response:
        """Return every metric in Prometheus' text format."""
        return web.Response(
            body=await self._doors.page(),
            headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST},
        )

    async def _database_answers(self) -> bool:
        """Whether the database answers in time; a probe that is late is left behind."""
        ping = asyncio.ensure_future(self._ping())
        self._pings.add(ping)
        ping.add_done_callback(self._pings.discard)
        done, _ = await asyncio.wait({ping}, timeout=DATABASE_SECONDS_MAX)
        if not done:
            ping.cancel()
        return bool(done) and ping.result()

    async def _ping(self) -> bool:
        try:
            return bool(await self._doors.readers.fetchval(_PING))
        except Exception:  # noqa: BLE001 - whatever keeps it from answering, it does not answer
            return False


def _answer(body: object, *, yes: bool) -> web.Response:
    return web.Response(
        status=200 if yes else 503,
        body=msgspec.json.encode(body),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
