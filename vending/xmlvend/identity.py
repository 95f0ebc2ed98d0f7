"""Who sent a message and which one it is: the names by which a till asks again."""

import base64
import hashlib
import re
from enum import StrEnum
from typing import Final

from vending.values import Value

_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+\Z")
_REFERENCE_CHARACTERS_MAX: Final = 64
"""What a sale's reference may be long, whichever door it came by."""


class Soap(StrEnum):
    """How the message was wrapped; the answer is wrapped alike."""

    V11 = "1.1"
    V12 = "1.2"
    BARE = "bare"
    """No envelope at all: some gateways post the request element itself."""


class DeviceKind(StrEnum):
    """How a client, terminal or server is named; the value is its xsi:type."""

    EAN = "EANDeviceID"
    GENERIC = "GenericDeviceID"


class Device(Value, frozen=True, kw_only=True):
    """A client, terminal or server. `text` is its name, as it came and without spaces around."""

    kind: DeviceKind
    text: str


class MessageId(Value, frozen=True, kw_only=True):
    """The four things that together name one message for ever: the key of idempotency.

    `stamp` is the client's own date-time (14 digits, in the wild up to 17); it is a name and never
    read as a time. `number` is kept as it came, for the echo, while "022" and "22" are one number,
    as the standard's integer type has it. How a device is named, by EAN or otherwise, is no part
    of the identity.
    """

    client: Device
    terminal: Device
    stamp: str
    number: str

    @property
    def reference(self) -> str:
        """Return the message's canonical text, fit to be a sale's reference.

        "client:terminal:stamp:number" where that has only letters, digits, "_" and "-" and at most
        64 characters; else "sha256-" and 43 characters. Two messages have the same text only if
        they are the same message: only the first form has colons, and always three.
        """
        number = self.number.lstrip("0") or "0"
        parts = (self.client.text, self.terminal.text, self.stamp, number)
        plain = ":".join(parts)
        if len(plain) <= _REFERENCE_CHARACTERS_MAX and all(map(_PLAIN.match, parts)):
            return plain
        # Every part with its length before it, so that no two different four run together alike.
        spelled = "".join(f"{len(part)}:{part}" for part in parts)
        digest = hashlib.sha256(spelled.encode()).digest()
        return "sha256-" + base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def naming(self, *, stamp: str, number: str) -> "MessageId":
        """Return another message of the same client and terminal: the one an advice is about."""
        return MessageId(client=self.client, terminal=self.terminal, stamp=stamp, number=number)


UNKNOWN: Final = MessageId(
    client=Device(kind=DeviceKind.GENERIC, text="unknown"),
    terminal=Device(kind=DeviceKind.GENERIC, text="unknown"),
    stamp="00000000000000",
    number="0",
)
"""What a fault answers when the message does not say who sent it."""


class Credential(Value, frozen=True, kw_only=True):
    """The operator's name at the till, and passwords as sent; "" where not given."""

    hidden = frozenset({"password", "new_password"})

    operator: str
    password: str
    new_password: str


class Caller(Value, frozen=True, kw_only=True):
    """The head of a request: which message, by whom, and how it was wrapped."""

    soap: Soap
    message_id: MessageId
    credential: Credential | None
