"""The lease: which server may write the vends of a shard, and since which epoch.

One row a shard. Every batch moves it under its own epoch (`vending.batch`), so that an owner that
was frozen and taken over from writes nothing when it wakes up. Exclusion by a row and a condition
works wherever rows do; the database's clock decides when a silent owner's right has run out.
"""

from vending.errors import Unavailable
from vending.postgres.pool import Session
from vending.values import Value

# Taken when it has run out, or was ours before a restart; a live owner keeps it by every batch.
TAKE = """
insert into sequencer_lease as lease (shard, owner, epoch, expires_at)
values ($1, $2, 1, clock_timestamp() + make_interval(secs => $3))
on conflict (shard) do update
   set owner = excluded.owner, epoch = lease.epoch + 1, expires_at = excluded.expires_at
 where lease.expires_at < clock_timestamp() or ($4 and lease.owner = excluded.owner)
returning epoch
"""

RENEW = """
update sequencer_lease set expires_at = clock_timestamp() + make_interval(secs => $4)
 where shard = $1 and owner = $2 and epoch = $3
returning epoch
"""

GIVE_UP = """
update sequencer_lease set expires_at = clock_timestamp()
 where shard = $1 and owner = $2 and epoch = $3
"""


class Fenced(Unavailable):
    """Another server has taken over the right to write vends; this one has written nothing.

    Nothing is lost: the other one does the work. This server waits as a stand-by.
    """

    code = "fenced"


class Lease(Value, frozen=True, kw_only=True):
    """Which shard this server wants to own, under what name, and for how long at a time."""

    shard: int
    owner: str
    seconds: int


class Fence(Value, frozen=True, kw_only=True):
    """The right to write vends: a shard, who owns it, since which epoch, and for how long."""

    shard: int
    owner: str
    epoch: int
    lease_seconds: int


async def take(db: Session, wanted: Lease, *, restarted: bool) -> Fence | None:
    """Return the right to write, or None while another server has it.

    `restarted` takes it back at once from an owner of our own name: this server before it died.
    """
    rows = await db.fetch(TAKE, wanted.shard, wanted.owner, wanted.seconds, restarted)
    if not rows:
        return None
    return Fence(
        shard=wanted.shard,
        owner=wanted.owner,
        epoch=rows[0]["epoch"],
        lease_seconds=wanted.seconds,
    )


async def renew(db: Session, fence: Fence) -> None:
    """Keep the right for another while. Raises Fenced when it is no longer ours."""
    if not await db.fetch(RENEW, fence.shard, fence.owner, fence.epoch, fence.lease_seconds):
        raise Fenced(owner=fence.owner, epoch=fence.epoch)


async def give_up(db: Session, fence: Fence) -> None:
    """Let the next server take over at once."""
    await db.fetch(GIVE_UP, fence.shard, fence.owner, fence.epoch)
