"""Events are among what a server that starts must number above."""

import pytest

from tests.webhooks.world import World
from vending import numbered
from vending.numbering import first_at


@pytest.mark.parametrize(("node", "known"), [(0, True), (1, False)])
async def test_a_server_goes_on_above_the_events_it_numbered(
    world: World, node: int, *, known: bool
) -> None:
    (event,) = await world.happen()
    world.clock.advance(hours=-1)  # the clock was set back while the server was down
    (row,) = await world.db.fetch(numbered.LAST, first_at(world.clock.now), node)
    assert row[0] == (event.event_id if known else None)
