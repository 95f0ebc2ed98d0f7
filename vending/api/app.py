"""The HTTP application: its routes, its two middlewares, and nothing that starts or stops.

`vending.api.listener.listen` puts it on a socket.
"""

import random
import secrets
import time
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler

from vending.api import admission, callbacks, health, problems, reports, ussd
from vending.api.admission import Admission
from vending.api.callbacks import Confirmations
from vending.api.calls import Express, call_of, response_of
from vending.api.doors import DOORS, Doors
from vending.api.express import WAY, Way
from vending.api.sales import Sales
from vending.api.v1 import vendors


def build(
    doors: Doors,
    *,
    chance: random.Random | None = None,
    seconds: Callable[[], float] = time.monotonic,
) -> web.Application:
    """Return the application behind these doors. Raises ConfigInvalid for a bad address list.

    `chance` spreads the times at which refused callers are asked back; `seconds` is the steady
    clock by which callers are let in.
    """
    chance = chance or _chance()
    app, gate = _bare(doors, chance=chance, seconds=seconds)
    for plain in (callbacks, health):
        app.add_routes(plain.routes(doors))
    for shed in (reports, ussd):
        app.add_routes(shed.routes(doors, gate))
    if doors.config.vendors.secret:
        vendors.open_(app, doors, gate, chance=chance)
    expresses = (Confirmations(doors), Sales(doors, gate))
    app.add_routes([web.post(one.route, _by_framework(one)) for one in expresses])
    if doors.config.server.express:
        app[WAY] = Way(
            expresses,
            body_bytes_max=doors.config.server.body_bytes_max,
            told=problems.told,
        )
    return app


def build_sandbox(doors: Doors) -> web.Application:
    """Return the application of a server that is a sandbox: probes, and the vendors' API.

    Raises VendorsClosed without a secret, ConfigInvalid for a bad address list.
    """
    chance = _chance()
    app, gate = _bare(doors, chance=chance, seconds=time.monotonic)
    app.add_routes(health.routes(doors))
    vendors.open_(app, doors, gate, chance=chance)
    return app


def _bare(
    doors: Doors, *, chance: random.Random, seconds: Callable[[], float]
) -> tuple[web.Application, Admission]:
    """Return an application without routes, and its gate."""
    app = web.Application(
        client_max_size=doors.config.server.body_bytes_max,
        middlewares=[admission.middleware(), problems.middleware()],
    )
    app[DOORS] = doors
    readers = doors.config.database.readers
    gate = Admission(doors.sequencer, readers=readers, chance=chance, seconds=seconds)
    app.cleanup_ctx.append(gate.watch)
    return app, gate


def _chance() -> random.Random:
    return random.Random(secrets.randbits(64))  # noqa: S311 -- jitter, not a secret


def _by_framework(express: Express) -> Handler:
    """Return aiohttp's handler of an address that may also be asked the short way."""

    async def handle(request: web.Request) -> web.Response:
        call = call_of(request)
        closed = express.closed(call)
        if closed is not None:
            raise closed.with_traceback(None)
        express.admit(call)
        body = await admission.read_body(request)
        return response_of(await express.answer(call, body))

    return handle
