"""The cast of commands: `vending --help` lists them."""

import sys

import cyclopts
from rich.console import Console

from vending import __version__
from vending.commands import (
    audit,
    demo,
    keys,
    loadtest,
    meters,
    migrate,
    payments,
    serve,
    simulate,
    tariffs,
    tokens,
    top,
    vendors,
)
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
app.command(tokens.app)
app.command(vendors.app)
app.command(audit.app)
app.command(demo.demo)
app.command(simulate.app)
app.command(loadtest.app)
app.command(top.top)


def main() -> None:
    """Run one command; a known error is what happened, what to do, and exit code 1."""
    try:
        app()
    except VendingError as fault:
        console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        console.print(str(fault), style="red")
        if fault.advice():
            console.print(fault.advice())
        sys.exit(1)


if __name__ == "__main__":
    main()
