"""The relay of webhooks as the settings want it."""

import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from vending.clock import Clock
from vending.config import Config, ConfigInvalid, Webhooks
from vending.numbering import Numbers
from vending.postgres.writer import Writer
from vending.webhooks import sealing
from vending.webhooks.addresses import Reach, networks
from vending.webhooks.calls import Caller
from vending.webhooks.relay import Bounds, Relay
from vending.webhooks.sealing import Seal

COMMIT_SECONDS_MAX = 10.0
"""Some hundred rows are written in milliseconds; ten seconds is a database that has stopped."""

_PORTS = (443, 8443)


def reach(settings: Webhooks) -> Reach:
    """Return how far webhooks go. Raises ConfigInvalid."""
    return Reach(
        ports=frozenset(settings.ports or _PORTS),
        loopback=settings.loopback,
        refused=networks(settings.refused_networks),
    )


def passphrase(config: Config) -> str:
    """Return what seals the secrets: of the webhooks, or else of the key store."""
    return config.webhooks.passphrase or config.keys.passphrase


@asynccontextmanager
async def opened(
    config: Config, *, dsn: str, numbers: Numbers, clock: Clock, chance: random.Random
) -> AsyncIterator[Relay | None]:
    """Hold the relay that the settings want, not yet running; None: this server delivers nothing.

    At the end its connections are closed; stop it before. Raises ConfigInvalid.
    """
    if not config.webhooks.enabled:
        yield None
        return
    made, caller = relay(config, dsn=dsn, numbers=numbers, clock=clock, chance=chance)
    try:
        yield made
    finally:
        await caller.close()


def relay(
    config: Config, *, dsn: str, numbers: Numbers, clock: Clock, chance: random.Random
) -> tuple[Relay, Caller]:
    """Return a relay, not yet running, and its caller, to be closed after it. Raises ConfigInvalid.

    Nothing is opened yet: with no endpoint it only looks whether there is one.
    """
    settings = config.webhooks
    bounds = Bounds(
        disable_after=timedelta(days=settings.disable_days),
        keep=timedelta(days=settings.keep_days),
    )
    caller = Caller(
        reach(settings),
        clock=clock,
        seconds_max=bounds.attempt_seconds,
        trust=_trust(settings.ca_file),
    )
    writer = Writer(dsn, seconds=COMMIT_SECONDS_MAX)
    made = Relay(
        writer,
        call=caller.call,
        unseal=_unsealing(writer, passphrase(config), clock),
        numbers=numbers,
        clock=clock,
        chance=chance,
        bounds=bounds,
    )
    return made, caller


def _unsealing(writer: Writer, secret: str, clock: Clock) -> Callable[[], Awaitable[Seal]]:
    async def unseal() -> Seal:
        return await sealing.opened(writer, passphrase=secret, now=clock())

    return unseal


def _trust(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as fault:
            raise ConfigInvalid(setting="webhooks.ca_file", fault=str(fault)) from None
    return context
