"""What opens when: the server takes money at once, stores and vends when it has what that needs.

Two gates. The first is the database (`Arrival`): until it is there and has this version's tables,
confirmations are kept in the spool and whatever else would ask for it is told to come again. The
second is the office (`Opening`): until the vending keys are open and a tariff is loaded, paid work
is stored and waits (P6).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from vending import log, metrics
from vending.config import Config
from vending.errors import VendingError
from vending.ledger.accounts import Chart
from vending.notices import wording_of
from vending.numbering import Numbers
from vending.office import Office, OfficeClosed
from vending.postgres import database
from vending.postgres.pool import Pool
from vending.sweep import UNREADABLE
from vending.tariffs import catalogue
from vending.tariffs.catalogue import Catalogue
from vending.tokens.issuer import CoreIssuer, Issuer
from vending.tokens.keys import KeyStore

PATIENCE_SECONDS = 4.0
"""A database that is well is there by then. An operator repeats what a closed door did not take."""

AGAIN_SECONDS = 1.0
"""Between two looks whether the database is back."""

REMIND_SECONDS = 60.0
"""How often one line says that the server still waits."""

STARTING = "database_starting"
"""Why a server waits whose database has not failed yet: it recovers, or is being migrated."""


class Arrival:
    """Waits until the database has been reached; `attempt` reaches it once, or says why not.

    What waiting cannot mend ends it (`vending.postgres.database.passes`), and so does everything
    where the database is `new`: it is made while a person watches, and nobody has paid yet.
    """

    def __init__(
        self,
        attempt: Callable[[], Awaitable[None]],
        *,
        new: bool = False,
        patience_seconds: float = PATIENCE_SECONDS,
        again_seconds: float = AGAIN_SECONDS,
    ) -> None:
        self._attempt = attempt
        self._patience_seconds = patience_seconds
        self._new = new
        self._again_seconds = again_seconds
        self._missed = asyncio.Event()
        self._because: str | None = STARTING
        self._told_at = 0.0
        self._log = log.get("server")

    @property
    def because(self) -> str | None:
        """Why the server waits for its database: an error's code; None when it does not."""
        return self._because

    async def here(self) -> None:
        """Return when the database has been reached. Raises what waiting cannot mend."""
        while True:
            try:
                await self._attempt()
                break
            except Exception as fault:
                if self._new or not database.passes(fault):
                    raise
                self._miss(fault)
            await asyncio.sleep(self._again_seconds)
        if self._missed.is_set():
            self._log.info("the database is there; the server goes on to vend")
        self._because = None
        metrics.waiting_for_database.set(0)

    async def patience(self, arriving: "asyncio.Task[None]") -> None:
        """Return when the door is to be opened: the database is there, or is to be waited for.

        `arriving` is the task that waits in `here`. Raises what ended it.
        """
        missed = asyncio.create_task(self._missed.wait())
        limit = None if self._new else self._patience_seconds
        try:
            await asyncio.wait(
                {missed, arriving}, timeout=limit, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            missed.cancel()
        if arriving.done():
            arriving.result()
        elif self._because is not None and not self._missed.is_set():
            self._tell(STARTING, "it takes longer than usual")

    def _miss(self, fault: Exception) -> None:
        code = fault.code if isinstance(fault, VendingError) else "database_unavailable"
        self._tell(code, str(fault) if isinstance(fault, VendingError) else type(fault).__name__)

    def _tell(self, code: str, fault: str) -> None:
        metrics.waiting_for_database.set(1)
        metrics.database_up.set(0)
        now = asyncio.get_running_loop().time()
        if not self._missed.is_set() or code != self._because or now > self._told_at:
            self._told_at = now + REMIND_SECONDS
            self._log.error(
                "the server waits for its database; confirmations go to the spool",
                code=code,
                fault=fault,
            )
        self._because = code
        self._missed.set()


class Opening:
    """What the office needs and may have to wait for: opened keys and loaded tariffs."""

    def __init__(self, config: Config, readers: Pool, numbers: Numbers) -> None:
        self._config = config
        self._readers = readers
        self._numbers = numbers
        self._chart = Chart()
        self._log = log.get("server")
        self._told: str | None = None
        self._versions = 0
        self.issuer: Issuer | None = None
        self.catalogue: Catalogue | None = None

    @property
    def complete(self) -> bool:
        """Whether there is an office."""
        return self.issuer is not None and self.catalogue is not None

    def office(self) -> Office:
        """Return the office; the lane is paused for as long as there is none."""
        if self.issuer is None or self.catalogue is None:
            raise OfficeClosed(keys=self.issuer is not None, tariffs=self.catalogue is not None)
        utility, rules = self._config.utility, self._config.vend
        return Office(
            issuer=self.issuer,
            catalogue=self.catalogue,
            chart=self._chart,
            numbers=self._numbers,
            wording=wording_of(utility),
            paid_at_future=timedelta(seconds=rules.paid_at_future_seconds),
            paid_at_past=timedelta(days=rules.paid_at_past_days),
        )

    async def open_keys(self) -> None:
        """Open the keys if they are not, which needs no database."""
        with self._told_once():
            await self._open_keys()

    async def refresh(self) -> None:
        """Open the keys if they are not, and read the tariffs there are by now."""
        try:
            with self._told_once():
                await self._open_keys()
                versions = await catalogue.count(self._readers)
                if versions != self._versions:
                    # A catalogue that has not changed is kept: it remembers what round sums buy.
                    self.catalogue = await catalogue.read(self._readers)
                    self._versions = versions
        except UNREADABLE as fault:
            # What is known stays good; a database that is away is no reason to stop.
            self._log.warning("the tariffs cannot be read now", fault=type(fault).__name__)

    async def _open_keys(self) -> None:
        if self.issuer is None:
            keys = self._config.keys
            store = KeyStore(Path(keys.store))
            ring = await asyncio.to_thread(store.open, passphrase=keys.passphrase)
            self.issuer = CoreIssuer(ring)

    @contextmanager
    def _told_once(self) -> Iterator[None]:
        try:
            yield
        except VendingError as fault:
            if self._told != fault.code:
                self._told = fault.code
                self._log.error("vending waits for its keys and tariffs", fault=str(fault))
