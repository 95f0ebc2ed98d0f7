"""The settings of the server: one TOML file and the environment, read once, frozen.

The only reader of the environment. A setting ``[section] name`` is overridden by the variable
``STIMA_SECTION__NAME``; the file's own path comes from ``--config`` or ``STIMA_CONFIG``.
docs/reference/configuration.md lists every setting and a test holds it to this module.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from vending.errors import Rejected
from vending.sections import Section as _Section
from vending.sections import say as _say

ENVIRONMENT_PREFIX = "STIMA_"


class ConfigInvalid(Rejected):
    """A setting is unknown, missing or out of range.

    The message names it; docs/reference/configuration.md lists every setting.
    """

    code = "config_invalid"


class Server(_Section, frozen=True, kw_only=True):
    """Where the server listens and how it stops."""

    host: Annotated[str, _say("Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0 picks a free one.")] = 8080
    node: Annotated[
        int, Meta(ge=0, le=255, description="This server's number, unique among its peers.")
    ] = 0
    drain_seconds: Annotated[
        int, Meta(ge=1, le=300, description="How long SIGTERM waits for work in hand.")
    ] = 15
    trusted_proxies: Annotated[
        list[str],
        _say("Addresses or networks of our own proxies; only from these is X-Forwarded-For read."),
    ] = []
    body_bytes_max: Annotated[
        int, Meta(ge=1024, description="Largest request body; larger is answered 413.")
    ] = 65_536
    request_seconds: Annotated[
        int, Meta(ge=1, le=120, description="A request not fully sent by then is cut off.")
    ] = 10
    connections_max: Annotated[
        int, Meta(ge=8, description="Open connections; more wait in the listen queue.")
    ] = 4_096
    express: Annotated[
        bool,
        _say("Read plain confirmations and direct sales without the HTTP framework."),
    ] = True
    workers: Annotated[
        int,
        Meta(ge=0, le=64, description="Front processes that share the port; 0: a single process."),
    ] = 0


class Database(_Section, frozen=True, kw_only=True):
    """PostgreSQL: yours by DSN, or the embedded one."""

    dsn: Annotated[
        str, _say("DSN of the application role (stima_app). Empty: the embedded server runs.")
    ] = ""
    owner_dsn: Annotated[
        str, _say("DSN of the owner, for `vending migrate`. Empty: the same as dsn.")
    ] = ""
    data_dir: Annotated[str, _say("Data directory of the embedded server.")] = ".stima/postgres"
    bin_dir: Annotated[
        str, _say("Directory of PostgreSQL's binaries. Empty: search the known places.")
    ] = ""
    shared_buffers_mb: Annotated[
        int, Meta(ge=16, description="Embedded server's shared_buffers.")
    ] = 256
    readers: Annotated[
        int, Meta(ge=1, le=64, description="Connections for reads (validation, enquiries).")
    ] = 4


class Utility(_Section, frozen=True, kw_only=True):
    """Who sells, and in which money, language and time zone."""

    name: Annotated[str, _say("Name on receipts.")] = "Demo Power"
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217 code.")] = "KES"
    currency_symbol: Annotated[str, _say("How money is written in messages.")] = "KSh"
    time_zone: Annotated[str, _say("IANA zone of receipts and months.")] = "Africa/Nairobi"
    help_line: Annotated[str, _say("What a customer dials for help; on refund messages.")] = "97771"
    country_code: Annotated[
        str, Meta(pattern="^[A-Z]{2}$", description="ISO 3166 code, to read local phone numbers.")
    ] = "KE"


class Route(_Section, frozen=True, kw_only=True):
    """Which product a short code sells."""

    short_code: Annotated[str, _say("The operator's pay bill or till number.")]
    operator: Annotated[Literal["mpesa"], _say("Whose short code it is.")] = "mpesa"
    product: Annotated[
        Literal["prepaid", "postpaid"],
        _say("prepaid vends a token. postpaid is refused at validation until accounts exist."),
    ] = "prepaid"


class Mpesa(_Section, frozen=True, kw_only=True):
    """M-PESA customer-to-business callbacks."""

    secret: Annotated[
        str,
        Meta(
            min_length=16, description="Secret part of the callback paths; at least 16 characters."
        ),
    ] = ""
    allowed_addresses: Annotated[
        list[str], _say("Addresses or networks callbacks may come from. Empty: none may.")
    ] = []
    validation_milliseconds: Annotated[
        int, Meta(ge=10, le=5000, description="Deadline of the meter look-up in a validation.")
    ] = 300
    when_blind: Annotated[
        Literal["accept", "refuse"],
        _say("Validation when the database does not answer: accept on the check digit, or refuse."),
    ] = "accept"
    amount_minor_min: Annotated[
        int, Meta(ge=1, description="Smallest payment validation accepts, in cents.")
    ] = 100
    amount_minor_max: Annotated[
        int, Meta(ge=1, description="Largest payment validation accepts, in cents.")
    ] = 25_000_000


class Intake(_Section, frozen=True, kw_only=True):
    """Where confirmations are kept while the database is away."""

    spool_dir: Annotated[
        str, _say("Directory of the spool, on a disk of this machine; one server each.")
    ] = ".stima/spool"
    spool_bytes_max: Annotated[
        int,
        Meta(ge=65_536, description="Most bytes in the spool: 1 GiB is a million confirmations."),
    ] = 1_073_741_824
    inbox_milliseconds: Annotated[
        int,
        Meta(ge=50, le=10_000, description="How long a confirmation waits for the database."),
    ] = 700


class Vend(_Section, frozen=True, kw_only=True):
    """The vend path."""

    batch_max: Annotated[int, Meta(ge=1, le=1000, description="Most payments in a commit.")] = 1000
    lease_seconds: Annotated[
        int, Meta(ge=2, le=120, description="How long a silent owner keeps the right to write.")
    ] = 10
    sweep_seconds: Annotated[
        int, Meta(ge=1, le=60, description="How often to look for payments a crash left behind.")
    ] = 2
    paid_at_future_seconds: Annotated[
        int,
        Meta(ge=0, description="A time of payment further ahead is not believed: arrival counts."),
    ] = 300
    paid_at_past_days: Annotated[
        int, Meta(ge=1, description="A time of payment further back is not believed either.")
    ] = 30


class Keys(_Section, frozen=True, kw_only=True):
    """Custody of vending keys."""

    store: Annotated[str, _say("The sealed key store file.")] = ".stima/keys.sealed"
    passphrase: Annotated[
        str, _say("Opens the key store. Give it in the environment, never in the file.")
    ] = ""


class Sms(_Section, frozen=True, kw_only=True):
    """How messages leave."""

    gateway: Annotated[
        Literal["file", "africastalking"],
        _say("file appends to a local file (default, for trying out); africastalking sends."),
    ] = "file"
    file: Annotated[str, _say("Where the file gateway writes.")] = ".stima/sms.log"
    url: Annotated[str, _say("Africa's Talking messaging endpoint.")] = (
        "https://api.africastalking.com/version1/messaging"
    )
    username: Annotated[str, _say("Africa's Talking user name.")] = ""
    api_key: Annotated[str, _say("Africa's Talking API key.")] = ""
    sender: Annotated[str, _say("Sender id or short code; empty for the account's default.")] = ""
    per_second_max: Annotated[
        int, Meta(ge=1, description="Contracted rate; the relay sends no faster.")
    ] = 100
    attempts_max: Annotated[
        int, Meta(ge=1, le=50, description="Tries before a message is given up.")
    ] = 12
    callback_secret: Annotated[
        str, _say("Secret path part of delivery reports and USSD; empty closes both routes.")
    ] = ""
    callback_addresses: Annotated[
        list[str], _say("Addresses or networks those callbacks may come from. Empty: none may.")
    ] = []


class Sales(_Section, frozen=True, kw_only=True):
    """Direct sales inside the utility's own walls."""

    secret: Annotated[
        str,
        Meta(pattern="^(|.{16,})$", description="At least 16 characters; empty closes the route."),
    ] = ""
    allowed_addresses: Annotated[
        list[str], _say("Addresses or networks sales may be asked from. Empty: none may.")
    ] = []


class Webhooks(_Section, frozen=True, kw_only=True):
    """Telling vendors what happened."""

    enabled: Annotated[bool, _say("Deliver webhooks from this server.")] = True
    passphrase: Annotated[
        str, _say("Seals the secrets webhooks are signed with. Empty: the one of the key store.")
    ] = ""
    ports: Annotated[list[int], _say("Ports an endpoint may have. Empty: 443 and 8443.")] = []
    loopback: Annotated[
        bool, _say("Allow http and any port to this very machine; for trying out only.")
    ] = False
    refused_networks: Annotated[
        list[str], _say("Public networks, such as your own, that webhooks must keep out of.")
    ] = []
    ca_file: Annotated[str, _say("Authorities to trust besides the system's, as PEM.")] = ""
    endpoints_max: Annotated[int, Meta(ge=1, le=100, description="Endpoints of one vendor.")] = 10
    disable_days: Annotated[
        int, Meta(ge=1, le=90, description="Days of nothing but failure that disable an endpoint.")
    ] = 5
    keep_days: Annotated[
        int, Meta(ge=7, le=3650, description="How long events and deliveries are kept for replay.")
    ] = 30


class Vendors(_Section, frozen=True, kw_only=True):
    """Third parties who sell by the vendor API."""

    secret: Annotated[
        str,
        Meta(
            pattern="^(|.{32,})$",
            description="Seals vendors' keys and signs their access tokens; at least 32 random "
            "characters, the same on every server. Empty closes the vendor API.",
        ),
    ] = ""
    previous_secret: Annotated[
        str, _say("The secret before this one, believed as well while vendors get new keys.")
    ] = ""
    public_url: Annotated[
        str, _say("Where vendors reach this server; signed assertions name it as audience.")
    ] = "http://127.0.0.1:8080"
    token_minutes: Annotated[
        int, Meta(ge=5, le=60, description="How long an access token lasts.")
    ] = 15
    burst_quota: Annotated[int, Meta(ge=1, description="A vendor's requests in 10 seconds.")] = 500
    day_quota: Annotated[int, Meta(ge=1, description="A vendor's requests in a day.")] = 2_000_000
    copies_max: Annotated[int, Meta(ge=0, le=999, description="Copies of one receipt.")] = 10
    day_tokens: Annotated[
        int, Meta(ge=0, le=1_000_000, description="A vendor's tokens without money in a day.")
    ] = 200
    day_free_kwh: Annotated[
        int, Meta(ge=0, le=1_000_000, description="Free units that a vendor issues in a day, kWh.")
    ] = 5_000
    free_issue_kwh: Annotated[
        int, Meta(ge=0, le=10_000, description="A vendor's free issue, once a meter, in kWh.")
    ] = 0
    signatures: Annotated[
        Literal["off", "offered", "required"],
        _say("Signed requests (RFC 9421): not read, verified where sent, or demanded."),
    ] = "off"
    certificate_header: Annotated[
        str, _say("Header in which a trusted proxy names the SHA-256 of a caller's certificate.")
    ] = ""


class Tokens(_Section, frozen=True, kw_only=True):
    """Tokens without money: what the utility's own people may ask for, each of them in a day."""

    day_tokens: Annotated[
        int, Meta(ge=0, le=1_000_000, description="Tokens of one person's requests.")
    ] = 20
    day_free_kwh: Annotated[
        int, Meta(ge=0, le=1_000_000, description="Free units of one person's requests, in kWh.")
    ] = 500


class Log(_Section, frozen=True, kw_only=True):
    """Logging."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], _say("Least severe event written.")
    ] = "info"
    format: Annotated[
        Literal["json", "console"], _say("json for machines, console for people.")
    ] = "json"


class Config(_Section, frozen=True, kw_only=True):
    """Every setting of the server."""

    server: Server = Server()
    database: Database = Database()
    utility: Utility = Utility()
    mpesa: Mpesa = Mpesa()
    route: list[Route] = []
    intake: Intake = Intake()
    vend: Vend = Vend()
    keys: Keys = Keys()
    sms: Sms = Sms()
    sales: Sales = Sales()
    vendors: Vendors = Vendors()
    webhooks: Webhooks = Webhooks()
    tokens: Tokens = Tokens()
    log: Log = Log()

    def product_of(self, operator: str, short_code: str) -> str | None:
        """Return the product a short code sells, or None when no route names it."""
        for route in self.route:
            if route.operator == operator and route.short_code == short_code:
                return route.product
        return None


def read(path: Path | None, environment: Mapping[str, str] | None = None) -> Config:
    """Read the settings file (if any), lay the environment over it, and check the whole.

    Raises ConfigInvalid naming the first setting that is wrong.
    """
    environment = os.environ if environment is None else environment
    named = path or (Path(environment["STIMA_CONFIG"]) if "STIMA_CONFIG" in environment else None)
    settings: dict[str, Any] = {}
    if named is not None:
        try:
            settings = tomllib.loads(named.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
            raise ConfigInvalid(file=str(named), fault=str(fault)) from fault
    for variable, value in environment.items():
        if variable.startswith(ENVIRONMENT_PREFIX) and "__" in variable:
            _override(settings, variable, value)
    try:
        return msgspec.convert(settings, Config)
    except msgspec.ValidationError as fault:
        raise ConfigInvalid(fault=str(fault)) from None


def without_settings(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment without any setting: what a child may know that is told the rest."""
    environment = os.environ if environment is None else environment
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(ENVIRONMENT_PREFIX)
    }


def variable(name: str, environment: Mapping[str, str] | None = None) -> str:
    """Return an environment variable that a command was told to read; raises ConfigInvalid."""
    environment = os.environ if environment is None else environment
    if not environment.get(name):
        raise ConfigInvalid(variable=name, expected="a value")
    return environment[name]


_TRUTHS = {"true": True, "false": False}


def _override(settings: dict[str, Any], variable: str, value: str) -> None:
    section_name, _, name = variable.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
    section = get_type_hints(Config).get(section_name)
    kinds = get_type_hints(section) if isinstance(section, type) else {}
    if name not in kinds:
        raise ConfigInvalid(variable=variable)
    kind = kinds[name]
    parsed: object = value
    if kind is int:
        if not value.lstrip("-").isdecimal():
            raise ConfigInvalid(variable=variable, expected="a whole number")
        parsed = int(value)
    elif kind is bool:
        if value not in _TRUTHS:
            raise ConfigInvalid(variable=variable, expected="true or false")
        parsed = _TRUTHS[value]
    elif get_origin(kind) is list and get_args(kind) in {(str,), (int,)}:
        parts = [part.strip() for part in value.split(",") if part.strip()]
        numbers = get_args(kind) == (int,) and all(part.isdecimal() for part in parts)
        parsed = [int(part) for part in parts] if numbers else parts
    settings.setdefault(section_name, {})[name] = parsed
