"""A vendor of the demo with a test key, so that whoever writes a till can sell at once.

The key is for the sandbox alone and worth nothing. It lies in the demo's own directory, in a file
that a shell reads: `. .stima/till.sh`.
"""

import asyncio
import shlex
from pathlib import Path

from vending.clock import Clock
from vending.commands import first_sale as sandbox
from vending.commands.demo_utility import DemoUtility, write_private
from vending.postgres import pool
from vending.vendors import accounts, credentials
from vending.vendors.credentials import Grant
from vending.vendors.seals import Seals
from vending.vendors.vendor import VendorUnknown

VENDOR = "kiosk"
FILE = "till.sh"
WHO = "the demo"


async def key(utility: DemoUtility, dsn: str, *, clock: Clock) -> str:
    """Take the till's vendor on unless it is known; return its test key, the earlier one if kept.

    A server that starts afterwards knows it from its first request.
    """
    kept = await asyncio.to_thread(_kept, utility.home / FILE)
    seals = Seals(utility.secrets.vendors)
    db = await pool.connect(dsn)
    try:
        try:
            await accounts.find(db, VENDOR)
        except VendorUnknown:
            await accounts.add(db, VENDOR, name="Demo Kiosk", who=WHO, now=clock())
        known = [one for one in await credentials.of_vendor(db, VENDOR) if one.revoked_at is None]
        if not any(f"_{one.name}_" in kept for one in known):
            for one in known:
                await credentials.revoke(db, VENDOR, one.name, who=WHO, now=clock())
            grant = Grant(label=FILE, sandbox=True)
            made = await credentials.issue_key(db, VENDOR, grant, seals=seals, who=WHO, now=clock())
            kept = made.secret
    finally:
        await db.close()
    return kept


async def write(utility: DemoUtility, *, url: str, kept: str) -> Path:
    """Write the file that tells a shell the server's URL and the test key; return it."""
    path = utility.home / FILE
    text = f"# Of the demo: `. {FILE}` in a shell.\nexport URL={url}\nexport KEY={kept}\n"
    await asyncio.to_thread(write_private, path, text.encode())
    return path


def first_sale(path: Path) -> str:
    """Return the shell commands that get a first token in the sandbox."""
    return "\n".join(
        (
            "",
            "Or sell as a vendor's till does, in the sandbox (docs/operating/sell.md goes on):",
            "",
            f"  . {shlex.quote(str(path))}",
            *sandbox.SALE,
            "",
        )
    )


def _kept(path: Path) -> str:
    """Return the key of an earlier start; "" when there is none."""
    if not path.exists():
        return ""
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((line.partition("=")[2] for line in lines if line.startswith("export KEY=")), "")
