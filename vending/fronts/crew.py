"""The fronts of a core: started with it, started again when they die, ended with it.

A front's input is one end of a pair of sockets, so that nobody else can be one, nothing is left on
disk, and a core that dies in any way hangs up on its fronts, which end by themselves.
"""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Sequence
from contextlib import suppress

from vending import config as settings
from vending import log
from vending.api import app, listener
from vending.api.doors import Doors
from vending.errors import Unavailable
from vending.fronts.desk import Desk

PROGRAM = (sys.executable, "-m", "vending.fronts")

RESTART_SECONDS = (0.1, 5.0)
"""Before a front that died is started again: at once the first time, rarely if it keeps dying."""

STEADY_SECONDS = 10.0
"""A front that lived so long is no front that keeps dying."""

START_SECONDS = 60.0
"""A front imports the server in a second; a machine that needs this long is in trouble."""


class FrontsMissing(Unavailable):
    """The front processes did not start to listen in time.

    The lines before this one say why; server.workers = 0 serves from one process.
    """

    code = "fronts_missing"


class Crew:
    """Some fronts and the desk they talk to. Made by `start`."""

    def __init__(
        self, doors: Doors, reserved: socket.socket, *, program: Sequence[str], seconds: float
    ) -> None:
        self._program = program
        self._seconds = seconds
        self._settings = doors.config.server
        self._reserved = reserved
        self.port: int = reserved.getsockname()[1]
        """The TCP port the fronts share; the one the kernel chose when 0 was configured."""
        self._desk = Desk(doors, port=self.port)
        self._processes: dict[int, Process] = {}
        self._serving = {number: asyncio.Event() for number in range(1, self._settings.workers + 1)}
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._log = log.get("fronts")

    async def open(self) -> None:
        """Start every front and return when all of them listen. Raises FrontsMissing."""
        self._tasks = [
            asyncio.create_task(self._desk.run(), name="desk"),
            *(asyncio.create_task(self._keep(number)) for number in self._serving),
        ]
        try:
            async with asyncio.timeout(self._seconds):
                for serving in self._serving.values():
                    await serving.wait()
        except TimeoutError:
            await self.close()
            raise FrontsMissing(workers=self._settings.workers) from None

    async def close(self) -> None:
        """Let the fronts finish what they are answering, and end them."""
        self._stopping.set()
        for process in self._processes.values():
            _tell(process, signal.SIGTERM)
        desk, *keepers = self._tasks
        _, late = await asyncio.wait(keepers, timeout=self._settings.drain_seconds + 1)
        if late:
            self._log.warning("fronts that do not end are killed", number=len(late))
            for process in self._processes.values():
                _tell(process, signal.SIGKILL)
            await asyncio.wait(late)
        desk.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._reserved.close()

    async def _keep(self, number: int) -> None:
        """Keep one front running until the crew stops."""
        loop = asyncio.get_running_loop()
        rest = RESTART_SECONDS[0]
        while not self._stopping.is_set():
            began = loop.time()
            try:
                code: int | str = await self._one_life(number)
            except OSError as fault:  # no process, no memory, no descriptors: perhaps later
                code = str(fault)
            if self._stopping.is_set():
                return
            self._log.error("a front has ended and is started again", front=number, code=code)
            if loop.time() - began > STEADY_SECONDS:
                rest = RESTART_SECONDS[0]
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), rest)
            rest = min(rest * 2, RESTART_SECONDS[1])

    async def _one_life(self, number: int) -> int:
        """Start a front, answer it until it ends, and return its exit code."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *self._program,
                    stdin=theirs.fileno(), env=settings.without_settings(),
                    # Ctrl-C at the terminal is for the core, which then ends its fronts in order.
                    start_new_session=True,
                )  # fmt: skip
        except OSError:
            ours.close()
            raise
        self._processes[number] = process
        if self._stopping.is_set():
            _tell(process, signal.SIGTERM)
        seat = await self._desk.seat(number, ours)
        listens = asyncio.create_task(self._listens(number, seat.serves))
        try:
            return await process.wait()
        finally:
            listens.cancel()
            del self._processes[number]
            self._desk.leave(number)

    async def _listens(self, number: int, serves: asyncio.Event) -> None:
        await serves.wait()
        self._serving[number].set()
        self._log.info("a front serves", front=number, process=self._processes[number].pid)


async def start(
    doors: Doors, *, program: Sequence[str] = PROGRAM, seconds: float = START_SECONDS
) -> Crew:
    """Start the configured number of fronts on the server's port.

    `program` is what a front runs, and has `seconds` to listen. Raises ConfigInvalid for a bad
    address list, AddressUnusable, and FrontsMissing.
    """
    app.build(doors)
    reserved = listener.reserve(doors.config.server)
    crew = Crew(doors, reserved, program=program, seconds=seconds)
    await crew.open()
    return crew


def _tell(process: Process, what: signal.Signals) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, what)
