"""The cast of commands: `vending --help` lists them."""

import sys

import cyclopts
from rich.console import Console

from vending import __version__
from vending.commands import audit, keys, meters, migrate, payments, serve, tariffs
from vending.errors import VendingError

app = cyclopts.App(
    name="vending",
    help="Takes money for prepaid electricity and answers with tokens that meters accept.",
    version=__version__,
)
app.command(serve.serve)
app.command(migrate.migrate)
app.command(keys.app)
app.command(tariffs.app)
app.command(meters.app)
app.command(payments.app)
app.command(audit.audit)


def main() -> None:
    """Run one command; a known error is one sentence and exit code 1, never a traceback."""
    try:
        app()
    except VendingError as fault:
        Console(stderr=True).print(str(fault), style="red", highlight=False, markup=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
