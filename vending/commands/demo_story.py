"""One purchase told on the terminal: the payment, the text, the meter, the ledger.

Colours and panels when a person looks, plain lines when piped.
"""

import asyncio
import json
import shlex

from rich.console import Console
from rich.panel import Panel
from rich.text import Text as Styled

from vending.errors import Unavailable
from vending.postgres import pool
from vending.quantities import WH_PER_TENTH, energy_text, money_text
from vending.simulation import pay_bill
from vending.simulation.history import Call
from vending.simulation.meter import Entry
from vending.simulation.operator import Operator, Sale
from vending.simulation.seed import Home
from vending.simulation.town import Reading, Town

AMOUNT_MINOR = 500_00
SECONDS_MAX = 30
"""A token that takes longer than this in an idle demo will not come by waiting."""

LINES_A_SECOND = 4

READ_LEDGER = """
select posting.account, posting.amount_minor
  from posting
  join payment on payment.payment_id = posting.document_id
 where payment.operator = 'mpesa' and payment.transaction_id = $1
 order by posting.amount_minor desc, posting.account
"""


class TokenDidNotCome(Unavailable):
    """The demo's payment was made, but no token reached the phone in time.

    Look at the lines above for an error; the payment is stored and will be carried out.
    """

    code = "token_did_not_come"


class PaymentNotTaken(Unavailable):
    """The demo's payment was not acknowledged by the server.

    Look at the lines above for an error, and start the demo again.
    """

    code = "payment_not_taken"


class Narrator:
    """Tells on a terminal what happens, and falls behind gracefully when too much does."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told = 0
        self._passed_over = 0
        self._accepted = 0

    def title(self, text: str) -> None:
        """Print a heading."""
        self._console.print(Styled(text, style="bold"))

    def say(self, topic: str, news: str) -> None:
        """Print one line of news under a topic."""
        self._console.print(Styled(f"  {topic:<12} ", style="cyan") + Styled(news))

    def show(self, text: str) -> None:
        """Print lines as they are, to be copied."""
        self._console.print(Styled(text))

    def phone(self, number: str, body: str) -> None:
        """Show a text on a phone's screen."""
        if self._console.is_terminal:
            screen = Panel(Styled(body), title=number, width=48, border_style="green")
            self._console.print(screen, soft_wrap=False)
        else:
            self.say("phone", f"{number}: {body}")

    def entry(self, entry: Entry) -> None:
        """Tell what a meter made of a token."""
        verdict = "accepts" if entry.accepted else f"refuses ({entry.verdict})"
        self.say(
            "meter",
            f"{entry.meter_number} {verdict}: {kwh(entry.before_tenths)} + {kwh(entry.tenths)}"
            f" = {kwh(entry.after_tenths)} kWh",
        )

    def reading(self, reading: Reading) -> None:
        """Tell of a text somebody read, unless too many come to be read by anyone."""
        self._accepted += sum(entry.accepted for entry in reading.entries)
        if self._told >= LINES_A_SECOND:
            self._passed_over += 1
            return
        self._told += 1
        self.phone(reading.text.number, reading.text.body)
        for entry in reading.entries:
            self.entry(entry)

    async def keep_up(self) -> None:
        """Sum up once a second what was passed over; runs until cancelled."""
        while True:
            await asyncio.sleep(1)
            self.sum_up()

    def sum_up(self) -> None:
        """Tell in one line what was passed over since the last time, if anything was."""
        if self._passed_over:
            self.say(
                "phones",
                f"{self._passed_over:,} more texts; {self._accepted:,} tokens accepted so far",
            )
        self._told = self._passed_over = 0


async def play(
    narrator: Narrator, dsn: str, operator: Operator, town: Town, customer: Home
) -> None:
    """Make one purchase and tell it; raises PaymentNotTaken or TokenDidNotCome."""
    arrived: asyncio.Queue[Reading] = asyncio.Queue()
    town.watch(arrived.put_nowait)
    narrator.title("One purchase")
    narrator.say(
        "customer",
        f"pays KSh {money_text(AMOUNT_MINOR)} to pay bill {operator.line.short_code}, "
        f"account {customer.meter_number}",
    )
    sale = await operator.pay(
        customer.meter_number, AMOUNT_MINOR, msisdn=customer.phones[0].removeprefix("+")
    )
    _tell_operator(narrator, sale)
    if not sale.acknowledged:
        raise PaymentNotTaken(transaction_id=sale.payment.transaction_id)
    try:
        async with asyncio.timeout(SECONDS_MAX):
            reading = await _token_for(arrived, customer)
    except TimeoutError:
        raise TokenDidNotCome(transaction_id=sale.payment.transaction_id) from None
    narrator.phone(reading.text.number, reading.text.body)
    for entry in reading.entries:
        narrator.entry(entry)
    for account, amount_minor in await _ledger(dsn, sale.payment.transaction_id):
        narrator.say("ledger", f"{account:<32} {money_text(amount_minor):>10}")


async def _token_for(arrived: "asyncio.Queue[Reading]", customer: Home) -> Reading:
    while True:
        reading = await arrived.get()
        if any(entry.meter_number == customer.meter_number for entry in reading.entries):
            return reading


async def _ledger(dsn: str, transaction_id: str) -> list[tuple[str, int]]:
    connection = await pool.connect(dsn)
    try:
        rows = await connection.fetch(READ_LEDGER, transaction_id)
    finally:
        await connection.close()
    return [(row["account"], row["amount_minor"]) for row in rows]


def _tell_operator(narrator: Narrator, sale: Sale) -> None:
    narrator.say("m-pesa", f"receipt {sale.payment.transaction_id}")
    for call, answer in (("validation", sale.checked), ("confirmation", sale.confirmed)):
        if answer is not None:
            narrator.say("server", f"answers the {call}: {answer.text or answer.status}")


def next_purchase(operator: Operator, customer: Home, *, program: str, home: str) -> str:
    """Return the shell command that pays again: M-PESA's confirmation of a new payment.

    `program` is how `vending` is called from here; `home` is the option that names the demo, or "".
    """
    payment = operator.take(customer.meter_number, AMOUNT_MINOR, msisdn=customer.phones[0])
    body = pay_bill.fields(payment, shown=operator.line.payer_shown, org_balance_minor=0)
    return "\n".join(
        (
            "",
            "Pay again from another terminal (twice the same is still one payment):",
            "",
            f"  curl -sS {shlex.quote(operator.line.url(Call.CONFIRM))} \\",
            "    -H 'Content-Type: application/json' \\",
            f"    -d {shlex.quote(json.dumps(body))}",
            "",
            "or let M-PESA do it; repeats, reorders, late and forged ones are there, too:",
            "",
            f"  {program} simulate pay {customer.meter_number} 500{home}",
            f"  {program} simulate --help",
            "",
        )
    )


def kwh(tenths: int) -> str:
    """Return tenths of a kilowatt-hour as a meter's display shows them."""
    return energy_text(tenths * WH_PER_TENTH)
