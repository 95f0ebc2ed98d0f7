"""A demo or a server as a person starts it: a process, read by line, interrupted at the end."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.processes import family

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30

VENDING = (sys.executable, "-m", "vending")


@dataclass(slots=True)
class DemoProcess:
    """A running `vending demo` or `vending serve`, and what it has printed so far."""

    process: asyncio.subprocess.Process
    home: Path
    lines: list[str]

    async def line(self, containing: str) -> str:
        """Read on until a line has certain words, and return it."""
        assert self.process.stdout is not None
        async with asyncio.timeout(START_SECONDS_MAX):
            while True:
                raw = await self.process.stdout.readline()
                if not raw:
                    told = "\n".join(self.lines)
                    raise AssertionError(f"ended before {containing!r}:\n{told}")
                self.lines.append(raw.decode().rstrip("\n"))
                if containing in self.lines[-1]:
                    return self.lines[-1]

    async def interrupt(self) -> tuple[int, list[int]]:
        """Do what Ctrl-C does, to the whole group; return the exit code and who is still alive."""
        members = family(self.process.pid)
        os.killpg(self.process.pid, signal.SIGINT)
        assert self.process.stdout is not None
        async with asyncio.timeout(STOP_SECONDS_MAX):
            rest = await self.process.stdout.read()
            code = await self.process.wait()
        self.lines += rest.decode().splitlines()
        return code, [member for member in members if family(member)]


@asynccontextmanager
async def demo(home: Path, *options: str) -> AsyncIterator[DemoProcess]:
    """Start a demo on a free port; whatever is left of it at the end is killed."""
    options = ("demo", "--home", str(home), "--port", "0", *options)
    async with _started(home, options, {**os.environ}) as running:
        yield running


@asynccontextmanager
async def served(
    settings: Path, environment: Mapping[str, str] | None = None, *options: str
) -> AsyncIterator[DemoProcess]:
    """Start a server by a settings file; whatever is left of it at the end is killed."""
    told = {**os.environ, **(environment or {})}
    command = ("serve", "--config", str(settings), *options)
    async with _started(settings.parent, command, told) as running:
        yield running


@asynccontextmanager
async def _started(
    home: Path, arguments: Sequence[str], environment: Mapping[str, str]
) -> AsyncIterator[DemoProcess]:
    process = await asyncio.create_subprocess_exec(
        *VENDING, *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, limit=2**20,
        start_new_session=True, env=environment,
    )  # fmt: skip
    try:
        yield DemoProcess(process, home, [])
    finally:
        if process.returncode is None:
            process.terminate()
            assert process.stdout is not None
            await process.stdout.read()
        await process.wait()


async def ran(
    *arguments: str | Path, environment: Mapping[str, str] | None = None, typed: bytes = b""
) -> tuple[int, str]:
    """Run one `vending` command to its end; return its exit code and all it printed."""
    command = (*VENDING, *map(str, arguments))
    return await ended(command, environment=environment, typed=typed)


async def ended(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    typed: bytes = b"",
    folder: Path | None = None,
) -> tuple[int, str]:
    """Run any program to its end; return its exit code and all it printed.

    One that does not come to it in time is killed.
    """
    process = await asyncio.create_subprocess_exec(
        # A short program may be gone before an empty line could be typed to it.
        *command, stdin=asyncio.subprocess.PIPE if typed else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **(environment or {})}, cwd=folder,
    )  # fmt: skip
    try:
        async with asyncio.timeout(START_SECONDS_MAX):
            told, _ = await process.communicate(typed or None)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, told.decode()
