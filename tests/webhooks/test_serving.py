"""A whole server delivers what happens."""

from pathlib import Path

from tests.conftest import SettableClock
from tests.database import Database
from tests.webhooks.receiver import Receiver
from tests.webhooks.world import PASSPHRASE, World, reached
from vending import config as settings
from vending import server
from vending.config import Config
from vending.webhooks import deliveries


async def test_a_server_that_runs_delivers_and_ends(
    database: Database, world: World, receiver: Receiver, tmp_path: Path, clock: SettableClock
) -> None:
    endpoint, _ = await world.endpoint(receiver.url)
    await deliveries.send_test(
        world.db, vendor_id="kiosk", endpoint_id=endpoint.endpoint_id,
        numbers=world.numbers, now=clock.now,
    )  # fmt: skip
    wanted = Config(
        server=settings.Server(port=0),
        database=settings.Database(dsn=database.dsn, owner_dsn=database.owner_dsn),
        intake=settings.Intake(spool_dir=str(tmp_path / "spool")),
        keys=settings.Keys(store=str(tmp_path / "keys"), passphrase=PASSPHRASE),
        sms=settings.Sms(file=str(tmp_path / "sms.log")),
        webhooks=settings.Webhooks(loopback=True),
    )
    async with server.running(wanted, clock=clock):
        await reached(lambda: bool(receiver.taken), receiver.asked)
    assert receiver.taken[0].payload["type"] == "endpoint.test"
    assert await world.states() == ["delivered"]
