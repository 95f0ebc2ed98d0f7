"""Writes docs/reference/messages.md from the wording itself: python -m tests.sms.write_page."""

from datetime import UTC, datetime
from pathlib import Path

from tests.sms.test_wording import DIGITS, every_text
from vending.api import screens
from vending.api.screens import House, TokenFound
from vending.sms.wording import LANGUAGES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "messages.md"

HEAD = """\
# Messages

What customers read. Every SMS is GSM-7 (3GPP TS 23.038) and one part of at most 160 septets,
whatever it is told: a letter outside the alphabet is folded into it, a long name is shortened, and
amounts beyond anything paid by phone drop the split, then the help line; never the token, the
meter or the receipt number. A USSD screen is at most 182 letters.

Languages are the meter's own (`en`, `sw`); who is unknown is answered in English. In a receipt,
`TknAmt` (`Umeme`) is the money that bought units and `OtherCharges` (`TozoNyingine`) everything
else, so that the two sum to `Amt` (`Kiasi`).

Which message is sent when:

| kind | when | to |
|---|---|---|
| `receipt` | with the token, in its own transaction | two phones of the meter, a payer in clear |
| `refund_due` | with the refund due, in its own transaction | the same |
| `coming` | once for a payment that has waited | a payer in clear, else the meter's first phone |
| `copy` | `vending payments resend` | as a receipt; the same digits, never another token |

A message is sent at least once. A try without an answer is repeated with the same words, up to
`sms.attempts_max` tries over some hours; then it is `given_up`, counted in `stima_messages` and
logged as `outbox.message_undelivered`. While the carrier is away no try counts, and one message at
a time finds out whether it is back.

| state | meaning |
|---|---|
| `waiting` | not yet handed to the carrier, or waiting for its next try |
| `sent` | the carrier took it |
| `delivered` | the carrier reported it delivered |
| `failed` | the carrier will never deliver it |
| `given_up` | every try failed |

What Africa's Talking answers for a recipient: 100 to 102 are accepted; 401, 403, 404, 406 and 409
are final; 402 (sender id) and 405 (balance) are true of every message and count as the carrier
being away; 407, 500 to 502 and anything new are tried again.

This page is written by `python -m tests.sms.write_page`; a test holds it to the code.
"""


def page() -> str:
    """Return the page as the code would have it."""
    parts = [HEAD]
    for language in LANGUAGES:
        parts.append(f"## SMS, {language}\n\n| message | text | septets |\n|---|---|---|\n")
        parts += [
            f"| `{name}` | {text} | {len(text)} |\n" for name, text in every_text(language).items()
        ]
        parts.append("\n")
    for language in LANGUAGES:
        parts.append(f"## USSD, {language}\n\n")
        for name, screen in _screens(language).items():
            parts.append(f"{name} ({len(screen)} letters):\n\n```\n{screen}\n```\n\n")
    return "".join([parts[0], "\n", *parts[1:]]).rstrip("\n") + "\n"


def _screens(language: str) -> dict[str, str]:
    house = House(name="Demo Power", help_line="97771", currency_symbol="KSh")
    token = TokenFound(
        digits=DIGITS, energy_wh=15_900, local_time=datetime(2026, 7, 14, tzinfo=UTC)
    )
    money, receipt = "KSh500.00", "SGL1AB2CDE"
    return {
        "menu": screens.menu(language, house=house),
        "choose_meter": screens.choice(language, ["14123456783", "37009188428"]),
        "tokens": screens.tokens(
            language, "14123456783", [token] * 3, coming_minor=50_000, house=house
        ),
        "no_meter": screens.say(language, "no_meter", help=house.help),
        "ask_receipt": screens.say(language, "ask_receipt"),
        "waits": screens.say(language, "waits", money=money, receipt=receipt),
        "refund_due": screens.refund_due(
            language, receipt=receipt, amount_minor=50_000, reason="meter_blocked", house=house
        ),
        "no_payment": screens.say(language, "no_payment", help=house.help),
        "away": screens.say(language, "away"),
    }


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
