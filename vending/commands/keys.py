"""`vending keys`: the sealed store of vending keys."""

import getpass
import sys
from pathlib import Path

import cyclopts
from rich.table import Table

from vending.commands import surroundings
from vending.commands.surroundings import ConfigFile, console
from vending.config import Config
from vending.tokens.keys import Description, KeyRefused, KeyStore

app = cyclopts.App(name="keys", help="The sealed store of vending keys.")


@app.command
def add(
    sgc: str,
    krn: int,
    *,
    dkga: str = "04",
    base_date: str = "14",
    ken: int = 255,
    key_type: int = 2,
    kcv: str = "",
    config: ConfigFile = None,
) -> None:
    """Seal one vending key; the key itself is asked for, or read from standard input.

    Parameters
    ----------
    sgc
        Supply group code, six digits.
    krn
        Key revision number, 1 to 9.
    dkga
        Decoder-key generation algorithm: 02 (64-bit key) or 04 (160-bit key).
    base_date
        Base date of the token identifiers: 93, 14 or 35.
    ken
        Key expiry number; 255 never expires.
    key_type
        2 unique (what credit is sold under), 1 default, 3 common.
    kcv
        The key's check value from its letter, six hex digits; a key that has another is refused.

    """
    read = surroundings.settings(config)
    wanted = Description(
        sgc=sgc, krn=krn, key_type=key_type, dkga=dkga, base_date=base_date, ken=ken, kcv=kcv
    )
    added = _store(read).add(wanted, _ask_key(), passphrase=_passphrase(read))
    console.print(
        f"sealed: supply group {added.sgc}, revision {added.krn}, check value {added.kcv}"
    )


@app.command(name="list")
def show(*, config: ConfigFile = None) -> None:
    """List what the store holds: descriptions and check values, never keys."""
    table = Table("supply group", "revision", "type", "algorithm", "base date", "expiry", "KCV")
    for one in _store(surroundings.settings(config)).descriptions():
        table.add_row(
            one.sgc, str(one.krn), str(one.key_type), f"DKGA{one.dkga}", one.base_date,
            str(one.ken), one.kcv,
        )  # fmt: skip
    console.print(table)


@app.command
def check(*, config: ConfigFile = None) -> None:
    """Open the store and prove that every key in it is what its description says."""
    read = surroundings.settings(config)
    ring = _store(read).open(passphrase=_passphrase(read))
    count = len(ring.keys())
    if count == 1:
        console.print("1 key opens and agrees with its check value")
    else:
        console.print(f"{count} keys open and agree with their check values")


def _store(config: Config) -> KeyStore:
    return KeyStore(Path(config.keys.store))


def _passphrase(config: Config) -> str:
    if config.keys.passphrase or not sys.stdin.isatty():
        return config.keys.passphrase
    return getpass.getpass("passphrase of the key store: ")


def _ask_key() -> bytearray:
    typed = getpass.getpass("vending key (hex): ") if sys.stdin.isatty() else sys.stdin.readline()
    try:
        return bytearray.fromhex(typed.strip())
    except ValueError:
        raise KeyRefused(rule="not_hex") from None
