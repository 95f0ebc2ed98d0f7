"""The HTTP application: its routes, its two middlewares, and nothing that starts or stops.

`vending.api.listener.listen` puts it on a socket.
"""

import random
import secrets

from aiohttp import web

from vending.api import admission, callbacks, health, problems, reports, sales, ussd
from vending.api.admission import Admission
from vending.api.doors import DOORS, Doors


def build(doors: Doors) -> web.Application:
    """Return the application behind these doors. Raises ConfigInvalid for a bad address list."""
    app = web.Application(
        client_max_size=doors.config.server.body_bytes_max,
        middlewares=[admission.middleware(), problems.middleware()],
    )
    app[DOORS] = doors
    gate = Admission(
        doors.sequencer,
        readers=doors.config.database.readers,
        chance=random.Random(secrets.randbits(64)),  # noqa: S311 -- jitter, not a secret
    )
    app.cleanup_ctx.append(gate.watch)
    for unshed in (callbacks, health):
        app.add_routes(unshed.routes(doors))
    for shed in (reports, sales, ussd):
        app.add_routes(shed.routes(doors, gate))
    return app
