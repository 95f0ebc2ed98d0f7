"""The HTTP application: its routes, its two middlewares, and nothing that starts or stops.

`vending.api.listener.listen` puts it on a socket.
"""

from aiohttp import web

from vending.api import admission, callbacks, health, problems, reports, sales, ussd
from vending.api.doors import DOORS, Doors


def build(doors: Doors) -> web.Application:
    """Return the application behind these doors. Raises ConfigInvalid for a bad address list."""
    app = web.Application(
        client_max_size=doors.config.server.body_bytes_max,
        middlewares=[admission.middleware(), problems.middleware()],
    )
    app[DOORS] = doors
    for part in (callbacks, health, reports, sales, ussd):
        app.add_routes(part.routes(doors))
    return app
