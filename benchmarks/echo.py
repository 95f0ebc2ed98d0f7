"""The yardstick: an aiohttp server that reads a confirmation's body and answers one line.

`python -m benchmarks.echo` prints its port. Everything that the product must do is missing; what
is left is what HTTP alone costs in this language on this machine.
"""

import socket
import sys

import uvloop
from aiohttp import web

ANSWER = b'{"ResultCode":0,"ResultDesc":"Success"}'


async def echo(request: web.Request) -> web.Response:
    """Read the body and answer as short as an operator is answered."""
    await request.read()
    return web.Response(body=ANSWER, content_type="application/json")


def main() -> None:
    app = web.Application()
    app.router.add_post("/{path:.*}", echo)
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listening.getsockname()[1], flush=True)
    sys.stdout.flush()
    web.run_app(
        app, sock=listening, access_log=None, print=None, loop=uvloop.new_event_loop()
    )  # fmt: skip


if __name__ == "__main__":
    main()
