"""The server's own entry point, with a fault built in from outside.

Usage: python -m tests.torture.entry FAULT serve --config FILE. The product knows none of these:
each replaces one method of a running server, and everything else is what `python -m vending` runs.
"""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from asyncpg import Record

from tests.processes import tell_family
from vending import batch
from vending.__main__ import main
from vending.payments.inbox import Found, Inbox, Stored
from vending.payments.payment import PaymentNotice
from vending.postgres import postmaster
from vending.postgres.writer import Writer
from vending.sequencer import Sequencer

DATA_DIR = "TORTURE_DATA_DIR"
"""Names the data directory whose PostgreSQL a fault kills."""

DOUBT_EVERY = 4
"""One batch in so many is written by a PostgreSQL that does not live to say so."""


def acknowledge_before_commit() -> None:
    """Answer the operator first and store afterwards: the broken twin that must be caught."""
    store = Inbox.store
    left_behind: set[asyncio.Task[Found]] = set()

    async def answer_first(
        inbox: Inbox, notice: PaymentNotice, *, product: str, received_at: datetime
    ) -> Found:
        async def later() -> Found:
            await asyncio.sleep(0.1)
            return await store(inbox, notice, product=product, received_at=received_at)

        task = asyncio.create_task(later())
        left_behind.add(task)
        task.add_done_callback(_heard(left_behind))
        return Stored(0)

    _replace(Inbox, "store", answer_first)


def never_vend() -> None:
    """Take money in and vend none of it: the place between the two commits, held open."""
    run = Sequencer.run

    async def paused(sequencer: Sequencer) -> None:
        sequencer.pause()
        await run(sequencer)

    _replace(Sequencer, "run", paused)
    _replace(Sequencer, "resume", lambda _sequencer: None)


def die_after_commit() -> None:
    """End at once when the first batch is committed, before anybody hears of it."""
    fetch = Writer.fetch

    async def last_words(writer: Writer, query: str, *args: Any) -> list[Record]:
        rows = await fetch(writer, query, *args)
        if query == batch.WRITE:
            os.kill(os.getpid(), signal.SIGKILL)
        return rows

    _replace(Writer, "fetch", last_words)


def commit_in_doubt() -> None:
    """Kill PostgreSQL around the commit of a batch: just before, during, or just after it."""
    fetch = Writer.fetch
    chance = random.Random()

    async def doubtful(writer: Writer, query: str, *args: Any) -> list[Record]:
        if query != batch.WRITE or chance.randrange(DOUBT_EVERY):
            return await fetch(writer, query, *args)
        answer = asyncio.create_task(fetch(writer, query, *args))
        # From nothing sent yet to long committed; a commit takes a few milliseconds.
        await asyncio.sleep(chance.choice((0, 0, 0.001, 0.002, 0.004, 0.02)))
        running = postmaster.running(Path(os.environ[DATA_DIR]))
        if running is not None:
            tell_family(running.pid, signal.SIGKILL)
        return await answer

    _replace(Writer, "fetch", doubtful)


def _replace(owner: type, method: str, by: Callable[..., Any]) -> None:
    setattr(owner, method, by)


def _heard(tasks: "set[asyncio.Task[Found]]") -> Callable[["asyncio.Task[Found]"], None]:
    def over(task: "asyncio.Task[Found]") -> None:
        tasks.discard(task)
        if not task.cancelled():
            task.exception()

    return over


FAULTS: dict[str, Callable[[], None]] = {
    "none": lambda: None,
    "acknowledge-before-commit": acknowledge_before_commit,
    "never-vend": never_vend,
    "die-after-commit": die_after_commit,
    "commit-in-doubt": commit_in_doubt,
}


def start(arguments: Sequence[str]) -> None:
    """Build the fault in and run the command."""
    fault, *command = arguments
    FAULTS[fault]()
    sys.argv = ["vending", *command]
    main()


if __name__ == "__main__":
    start(sys.argv[1:])
