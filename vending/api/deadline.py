"""A deadline for reads that someone waits for, kept even when the database is frozen.

A driver whose query is cancelled waits for the server to take its cancel request; a frozen server
never does. So a late read is left behind, cancelled and not awaited, and its caller is free.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_left_behind: set["asyncio.Task[Any]"] = set()


async def in_time(read: Coroutine[Any, Any, T], *, seconds: float) -> T:
    """Return what a read finds. Raises TimeoutError at the deadline, and what the read raises."""
    task = asyncio.create_task(read)
    done, _ = await asyncio.wait({task}, timeout=seconds)
    if done:
        return task.result()
    _left_behind.add(task)
    task.add_done_callback(_forget)
    task.cancel()
    raise TimeoutError


def _forget(task: "asyncio.Task[Any]") -> None:
    _left_behind.discard(task)
    if not task.cancelled():
        task.exception()
