"""The listening socket: so many connections, and so long for a request to arrive.

aiohttp answers whole requests well, but lets a connection that sends half of one stay for an
hour, and sets no bound to how many there are. So each connection gets a `Guard` between socket
and aiohttp, which notes times, and one sweep a second closes those that have overstayed.
Accepting stops while the house is full: the kernel's queue holds who comes next.
"""

import asyncio
import contextlib
import errno
import logging
import resource
import socket
from typing import Final

from aiohttp import web

from vending import log
from vending.api.express import WAY
from vending.api.guard import TIMED_OUT, Guard, State
from vending.api.lines import LineLimit
from vending.config import Server
from vending.errors import Rejected

DESCRIPTORS_RESERVED: Final = 160
"""Kept for what is not a connection: up to 64 readers, 4 writers, PostgreSQL's supervisor, the
spool, logs, and what a library opens for a moment; twice over."""

IDLE_SECONDS: Final = 75.0
"""A kept-alive connection without a request; a little longer than proxies keep theirs."""

CROWDED_IDLE_SECONDS: Final = 1.0
"""The same while the house is full: whoever does not ask makes room."""

LINGER_SECONDS: Final = 2.0
"""After refusing a body unread, how long to let it drain so that the refusal is not lost."""

HEADER_BYTES_MAX: Final = 8_190
HEADERS_MAX: Final = 64
"""Each header line and their number. Operators and proxies send about ten short ones."""

_NEVER_SECONDS = 1e9
"""Idle connections are the sweep's to close: aiohttp does not see what a guard answers itself."""

_UNREAD_MILLISECONDS = 30_000
_BACKLOG = 1_024
_ACCEPTS_AT_ONCE = 128
_PAUSE_SECONDS = 0.5
_SWEEP_SECONDS = 1.0
_OUT_OF_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = log.get("api.listener")


class AddressUnusable(Rejected):
    """The server cannot listen at the configured address.

    Another program may hold the port (`ss -ltnp` shows which), or the address is not this
    machine's; change server.host or server.port, or stop the other program.
    """

    code = "address_unusable"


class Listener:
    """Accepts connections for an application until `close`. Made by `listen`."""

    def __init__(self, runner: web.AppRunner, sock: socket.socket, settings: Server) -> None:
        self._runner = runner
        self._socket = sock
        self.port: int = sock.getsockname()[1]
        """The TCP port; the one the kernel chose when 0 was configured."""
        self._settings = settings
        room = max(1, _descriptors() - DESCRIPTORS_RESERVED)
        self.connections_max = min(settings.connections_max, room)
        """How many connections are let in: what is configured, or what the process may open."""
        if self.connections_max < settings.connections_max:
            _log.warning(
                "fewer connections are let in than configured; raise the limit of open files",
                connections_max=self.connections_max,
            )
        self._loop = asyncio.get_running_loop()
        self._guards: set[Guard] = set()
        self._arriving: set[asyncio.Task[None]] = set()
        self._accepting = False
        self._closed = False
        self._emptied = asyncio.Event()
        self._lines = LineLimit()
        self._way = runner.app.get(WAY)
        self._sweeper = asyncio.create_task(self._sweep_for_ever())
        self.resume()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._guards) + len(self._arriving)

    async def close(self) -> None:
        """Accept no more, finish what is being answered (server.drain_seconds), end the rest."""
        self._closed = True
        self._pause()
        self._socket.close()
        self._sweeper.cancel()
        await asyncio.gather(self._sweeper, *self._arriving, return_exceptions=True)
        await self._answered()
        await self._runner.cleanup()
        for guard in list(self._guards):
            guard.end(farewell=b"")
        # A transport tells that it is closed in the loop's next turns, and leaks if there are none.
        if self._guards:
            await self._emptied.wait()

    async def _answered(self) -> None:
        """Wait for what the guards answer by themselves; aiohttp waits for its own."""
        for guard in list(self._guards):
            guard.retire()
        answering = [guard.answering for guard in self._guards if guard.answering is not None]
        if answering:
            await asyncio.wait(answering, timeout=self._settings.drain_seconds)

    def resume(self) -> None:
        """Accept again, if there is room."""
        if not self._accepting and not self._closed and not self._full():
            self._accepting = True
            self._loop.add_reader(self._socket, self._accept)

    def left(self, guard: Guard) -> None:
        """Take note that a connection has ended."""
        self._guards.discard(guard)
        if not self._guards and self._closed:
            self._emptied.set()
        self.resume()

    def _full(self) -> bool:
        return self.connections >= self.connections_max

    def _pause(self) -> None:
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._socket)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            if self._full():
                self._pause()
                return
            try:
                connection, _address = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as fault:
                if fault.errno not in _OUT_OF_ROOM:
                    raise
                self._pause()
                self._loop.call_later(_PAUSE_SECONDS, self.resume)
                self._lines.write(_log.error, "no room for a connection", fault=str(fault))
                return
            task = self._loop.create_task(self._welcome(connection))
            self._arriving.add(task)
            task.add_done_callback(self._arrived)

    def _arrived(self, task: "asyncio.Task[None]") -> None:
        self._arriving.discard(task)
        self.resume()

    async def _welcome(self, connection: socket.socket) -> None:
        try:
            connection.setblocking(False)
            _, guard = await self._loop.connect_accepted_socket(self._guarded, connection)
        except OSError:
            connection.close()
            return
        if guard.transport is not None and not guard.transport.is_closing():
            self._guards.add(guard)

    def _guarded(self) -> Guard:
        server = self._runner.server
        assert server is not None  # noqa: S101 - `listen` has set the runner up
        return Guard(server, way=self._way, left=self.left)

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(min(_SWEEP_SECONDS, self._settings.request_seconds / 4))
            self._sweep()

    def _sweep(self) -> None:
        now = self._loop.time()
        idle_max = CROWDED_IDLE_SECONDS if self._full() else IDLE_SECONDS
        cut_off = 0
        for guard in list(self._guards):
            waited = now - guard.since
            if guard.state is State.SENDING and waited > self._settings.request_seconds:
                cut_off += 1
                guard.end(farewell=TIMED_OUT)
            elif guard.state is State.IDLE and waited > idle_max:
                guard.end(farewell=b"")
        if cut_off:
            self._lines.write(_log.warning, "unfinished requests were cut off", number=cut_off)


def _descriptors() -> int:
    """Return how many files this process may open, after asking for as many as it is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft if soft != resource.RLIM_INFINITY else 1 << 20


def reserve(settings: Server) -> socket.socket:
    """Return a socket that holds the port for processes that share it, and takes no connection.

    Sharing lets any process of the same user join, so first the port must be ours alone. Raises
    AddressUnusable.
    """
    with _bound(settings, settings.port) as alone:
        port: int = alone.getsockname()[1]
    return _bound(settings, port, shared=True)


def _bound(settings: Server, port: int, *, shared: bool = False) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sock = socket.socket(family)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((settings.host, port))
    except (OSError, OverflowError) as fault:
        sock.close()
        raise AddressUnusable(host=settings.host, port=port, fault=str(fault)) from None
    return sock


async def listen(
    app: web.Application, settings: Server, *, shared_port: int | None = None
) -> Listener:
    """Open the listening socket and serve `app` on it. Raises AddressUnusable.

    `shared_port` is a port that `reserve` holds, to listen on beside other processes.
    """
    port = settings.port if shared_port is None else shared_port
    sock = _bound(settings, port, shared=shared_port is not None)
    try:
        sock.listen(_BACKLOG)
    except OSError as fault:
        sock.close()
        raise AddressUnusable(host=settings.host, port=port, fault=str(fault)) from None
    sock.setblocking(False)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Inherited by each connection: a client that stops reading is dropped by the kernel.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_MILLISECONDS)
    runner = framework(app, settings)
    await runner.setup()
    return Listener(runner, sock, settings)


def authority(host: str, port: int) -> str:
    """Return an address as it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def framework(app: web.Application, settings: Server) -> web.AppRunner:
    """Return aiohttp as it is to read requests here; `setup` it for its `server`."""
    return web.AppRunner(
        app,
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=_NEVER_SECONDS,
        lingering_time=LINGER_SECONDS,
        logger=_aiohttp_faults(),
        max_field_size=HEADER_BYTES_MAX,
        max_line_size=HEADER_BYTES_MAX,
        max_headers=HEADERS_MAX,
        shutdown_timeout=settings.drain_seconds,
    )


class _OneLine(logging.Handler):
    """Turns what aiohttp reports about an unreadable request into one line without its text."""

    def __init__(self) -> None:
        super().__init__()
        self._lines = LineLimit()

    def emit(self, record: logging.LogRecord) -> None:
        fault = record.exc_info[0] if record.exc_info else None
        if fault is not None and issubclass(fault, ConnectionError):
            return  # A caller that hangs up in mid-request is no news, and may be our own doing.
        self._lines.write(
            _log.warning, "a request could not be read",
            fault=fault.__name__ if fault is not None else record.levelname.lower(),
        )  # fmt: skip


def _aiohttp_faults() -> logging.Logger:
    """Return the logger for aiohttp's own protocol, which reports unreadable requests there.

    Those that do not even begin like HTTP are reported as debug.
    """
    logger = logging.getLogger("vending.api.listener")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.handlers = [_OneLine()]
    return logger
