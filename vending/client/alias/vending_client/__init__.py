"""The vendors' client under a name of its own: `from vending_client import Client`."""

from vending.client import *  # noqa: F403 -- all of it, and nothing else
from vending.client import __all__ as __all__
