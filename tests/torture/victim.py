"""The processes that are killed: the server, and the PostgreSQL it runs or has taken over."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from typing import IO

from tests.processes import family, tell_family
from tests.torture import entry
from tests.torture.ground import Ground
from vending.postgres import postmaster

_END_SECONDS = 60
_POLL_SECONDS = 0.01


class Victim:
    """A server on some ground: started, killed and started again.

    `fault` is built into every server that is started without one of its own.
    """

    def __init__(self, ground: Ground, *, fault: str | None = None) -> None:
        self._ground = ground
        self.fault = fault
        self._nursery: Process | None = None
        self._first: Process | None = None
        self._number: int | None = None

    @property
    def postgres_runs(self) -> bool:
        return postmaster.running(self._ground.data_dir) is not None

    async def start(self, *, fault: str | None = None) -> None:
        """Start a server; it works once the operator's calls are answered.

        The first is started by the command itself, the others out of the nursery.
        """
        fault = fault or self.fault or "none"
        if self._first is None and fault == "none":
            with self._ground.log.open("ab") as log:
                self._first = await self._run(
                    "vending", "serve", "--config", str(self._ground.settings),
                    stdin=DEVNULL, stdout=log,
                )  # fmt: skip
            self._number = self._first.pid
            return
        if self._nursery is None:
            self._nursery = await self._run(
                "tests.torture.nursery", str(self._ground.settings), str(self._ground.log),
                stdin=PIPE, stdout=PIPE,
            )  # fmt: skip
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(f"{fault}\n".encode())
        self._number = int(await self._nursery.stdout.readline())

    async def kill(self) -> None:
        """Kill the server as a crash would; PostgreSQL lives on."""
        self._tell(signal.SIGKILL)
        await self.ended()

    def ask_to_stop(self) -> None:
        """Send SIGTERM: the server drains."""
        self._tell(signal.SIGTERM)

    async def ended(self) -> None:
        """Wait for a server that was killed, kills itself, or was asked to stop."""
        number = self._number
        await self._until(lambda: number is None or not family(number))
        if self._first is not None:
            await self._first.wait() if self._first.pid == number else None
        self._number = None

    async def kill_postgres(self) -> None:
        """Kill the postmaster and every process it has; return when the server has another."""
        killed = postmaster.running(self._ground.data_dir)
        if killed is None:
            return
        tell_family(killed.pid, signal.SIGKILL)

        def replaced() -> bool:
            found = postmaster.running(self._ground.data_dir)
            return found is not None and found.ready and found.pid != killed.pid

        await self._until(replaced)

    def kill_postgres_now(self) -> None:
        """Kill PostgreSQL and wait for nothing."""
        running = postmaster.running(self._ground.data_dir)
        if running is not None:
            tell_family(running.pid, signal.SIGKILL)

    async def clear(self) -> None:
        """Leave nothing behind: neither server nor nursery nor PostgreSQL."""
        await self.kill()
        if self._nursery is not None and self._nursery.stdin is not None:
            self._nursery.stdin.close()
            await self._nursery.wait()
        running = postmaster.running(self._ground.data_dir)
        if running is not None:
            members = family(running.pid)
            tell_family(running.pid, signal.SIGKILL)
            await self._until(lambda: not any(family(member) for member in members))

    def _tell(self, what: signal.Signals) -> None:
        if self._number is not None and family(self._number):
            # One that drains may end between the look and the signal.
            with suppress(ProcessLookupError):
                os.kill(self._number, what)

    async def _run(
        self, module: str, *arguments: str, stdin: int, stdout: int | IO[bytes]
    ) -> Process:
        environment = {
            **os.environ,
            **self._ground.environment,
            entry.DATA_DIR: str(self._ground.data_dir),
        }
        with self._ground.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", module, *arguments,
                env=environment, stdin=stdin, stdout=stdout, stderr=log,
            )  # fmt: skip

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(_END_SECONDS):
            while not holds():
                await asyncio.sleep(_POLL_SECONDS)
