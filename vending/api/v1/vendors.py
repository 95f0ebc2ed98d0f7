"""Opens the vendors' API on an application: /v1, /oauth/token, /openapi.json and /xmlvend."""

import random
from typing import Final

from aiohttp import web

from vending.api.admission import Admission
from vending.api.calls import JSON
from vending.api.doors import Doors
from vending.api.v1 import description
from vending.api.v1.reception import PREFIX, Reception
from vending.api.v1.tokens import TOKEN_PATH, Tokens
from vending.api.xmlvend import endpoint
from vending.api.xmlvend.endpoint import Endpoint
from vending.vendors.register import Register
from vending.vendors.seals import Seals

DESCRIPTION_PATH: Final = "/openapi.json"


def open_(app: web.Application, doors: Doors, gate: Admission, *, chance: random.Random) -> None:
    """Let vendors in. Raises VendorsClosed without a secret, ConfigInvalid for a bad setting."""
    settings = doors.config.vendors
    seals = Seals(settings.secret, settings.previous_secret)
    register = Register(doors.readers, seals=seals)
    reception = Reception(doors, gate, register, chance=chance)
    tokens = Tokens(doors, register, seals, callers=reception.callers, quotas=reception.quotas)
    app.cleanup_ctx.append(reception.watch)
    app.add_subapp(PREFIX, reception.application())
    app.add_routes(
        [
            web.post(TOKEN_PATH, tokens.fetch),
            web.get(DESCRIPTION_PATH, _describe, allow_head=False),
        ]
    )
    if not doors.sandbox:
        tills = Endpoint(doors, gate, register, reception)
        app.add_routes([web.post(endpoint.PATH, tills.receive)])


async def _describe(_request: web.Request) -> web.Response:
    return web.Response(body=description.written(), content_type=JSON)
