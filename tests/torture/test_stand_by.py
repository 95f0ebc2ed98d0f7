"""Two servers on one database: one vends, the other takes over, and who was frozen writes nothing.

Real processes, stopped and killed by real signals under load, judged by the operator's history.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import aiohttp
import asyncpg
import pytest

from tests.commands.demo_process import DemoProcess, served
from tests.database import Database
from tests.processes import tell_family
from tests.torture import peers, verdict
from tests.torture.crowd import Crowd
from tests.torture.peers import Outside, until
from tests.torture.verdict import Memory
from vending.simulation.operator import Operator

pytestmark = [pytest.mark.torture, pytest.mark.timeout(300)]

NODES = (1, 2)

LEASE = "select owner, epoch, batches from sequencer_lease where shard = 0"

DECIDED = "select count(*) from outcome"

# A payment's number says which server took it in.
DECIDED_FOR = """
select count(*) from outcome where (payment_id >> 14) & 255 = $1
"""


@dataclass(slots=True, kw_only=True)
class Peer:
    """One of the two servers, and the customers who pay through it."""

    node: int
    process: DemoProcess
    url: str
    operator: Operator
    crowd: Crowd

    def tell(self, what: signal.Signals) -> None:
        tell_family(self.process.process.pid, what)

    async def role(self) -> str:
        """Return what the server says of itself: owner or standby."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}/health/ready") as answer,
        ):
            told = await answer.json()
        return str(told["sequencer"])


@dataclass(slots=True, kw_only=True)
class Pair:
    """Both servers, the database they share, and the outside world."""

    peers: tuple[Peer, Peer]
    outside: Outside

    @property
    def db(self) -> asyncpg.Connection:
        return self.outside.db

    async def lease(self) -> tuple[int, int, int]:
        """Return the owner's node, the epoch, and how many batches were ever written."""
        row = await self.db.fetchrow(LEASE)
        assert row is not None
        return int(row["owner"].rpartition(":")[2]), row["epoch"], row["batches"]

    async def owner(self) -> tuple[Peer, Peer]:
        """Return the server that has the lease, and the other one."""
        node, _, _ = await self.lease()
        first, second = self.peers
        return (first, second) if first.node == node else (second, first)

    async def owned_by(self, peer: Peer) -> None:
        """Wait until a server has the lease."""

        async def owned() -> bool:
            return (await self.lease())[0] == peer.node

        await until(owned)

    async def grows(self, query: str, *arguments: object, by: int = 20) -> None:
        """Wait until a count has grown by so many."""
        before = await self.db.fetchval(query, *arguments)

        async def grown() -> bool:
            return bool(await self.db.fetchval(query, *arguments) >= before + by)

        await until(grown)


@asynccontextmanager
async def two_servers(database: Database) -> AsyncIterator[Pair]:
    """Start two servers on one database, with customers who pay through each."""
    async with AsyncExitStack() as stack:
        outside = await stack.enter_async_context(peers.outside(database, nodes=NODES))
        ground = outside.ground
        pair = []
        for node in NODES:
            process = await stack.enter_async_context(
                served(peers.settings_file(ground, node), ground.environment)
            )
            stack.callback(tell_family, process.process.pid, signal.SIGCONT)
            url = await peers.url_of(process)
            operator, crowd = await stack.enter_async_context(outside.customers(url, seed=node))
            pair.append(Peer(node=node, process=process, url=url, operator=operator, crowd=crowd))
        yield Pair(
            peers=(pair[0], pair[1]),
            outside=outside,
        )


async def test_the_stand_by_takes_over_and_a_frozen_owner_writes_nothing(
    database: Database,
) -> None:
    async with two_servers(database) as pair:
        paying = [asyncio.create_task(peer.crowd.run()) for peer in pair.peers]
        try:
            await freeze_and_thaw(pair)
            killed, left = await kill_the_owner(pair)
        finally:
            for task in paying:
                task.cancel()
            await asyncio.wait(paying)
        # Whoever was not answered by the dead server is told by the living one.
        killed.operator.line = replace(killed.operator.line, base_url=left.url)
        for peer in pair.peers:
            await peer.crowd.ask_again()
        faults = await pair.outside.faults()
        assert not faults, verdict.shown(faults)
        code, members = await left.process.interrupt()
        assert (code, members) == (0, [])
        assert (await pair.lease())[0] == left.node


async def freeze_and_thaw(pair: Pair) -> None:
    """Stop the owner until the other has taken over, wake it up, and see it stand by."""
    owner, other = await pair.owner()
    await asyncio.gather(*(peer.crowd.acknowledged(20) for peer in pair.peers))
    assert [await owner.role(), await other.role()] == ["owner", "standby"]
    # What the stand-by takes in reaches the owner through the sweep.
    await pair.grows(DECIDED_FOR, other.node)

    memory = Memory()
    assert not await memory.compare(pair.db)
    _, epoch, _ = await pair.lease()
    owner.tell(signal.SIGSTOP)

    await pair.owned_by(other)
    await pair.grows(DECIDED)
    assert await other.role() == "owner"

    owner.tell(signal.SIGCONT)
    await owner.process.line("this server no longer vends")
    assert await owner.role() == "standby"
    node, after, _ = await pair.lease()
    assert (node, after) == (other.node, epoch + 1)
    await asyncio.gather(*(peer.crowd.acknowledged(20) for peer in pair.peers))
    await pair.grows(DECIDED_FOR, owner.node)
    assert (await pair.lease())[:2] == (other.node, epoch + 1)
    assert not await memory.compare(pair.db)


async def kill_the_owner(pair: Pair) -> tuple[Peer, Peer]:
    """Kill the owner as a crash would, and see the other vend; return the dead and the living."""
    owner, other = await pair.owner()
    owner.tell(signal.SIGKILL)
    await pair.owned_by(other)
    assert await other.role() == "owner"
    await other.crowd.acknowledged(20)
    # And what the dead one acknowledged and left behind.
    await pair.grows(DECIDED)
    return owner, other
