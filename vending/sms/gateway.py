"""Carriers of short messages: a local file for trying out, and Africa's Talking.

A gateway takes one message and says what became of the try; when to try again, and how often, is
the relay's business. Neither text nor number of a message ever reaches a log from here.
"""

import errno
import os
from pathlib import Path
from typing import Protocol

import aiohttp
import msgspec

from vending.clock import Clock
from vending.config import Sms
from vending.outbox.message import Answer, Message, SendResult

SEND_SECONDS_MAX = 10
"""A carrier answers in under a second; what takes ten has an unknown outcome and is tried again."""

_ANSWER_BYTES_MAX = 65_536
_FILE_MODE = 0o600

# Status codes of one recipient, as Africa's Talking documents them.
_ACCEPTED = frozenset({100, 101, 102})  # processed, sent, queued
_ACCOUNT_AT_FAULT = frozenset({402, 405})  # sender id not ours, balance gone: true of all messages
_REFUSED = frozenset(
    {401, 403, 404, 406, 409}
)  # held, bad number or type, opted out, do not disturb
_UNAUTHORISED = frozenset({401, 403})
_TOO_MANY = 429
_CREATED = frozenset({200, 201})
_SERVER_ERROR = 500


class Gateway(Protocol):
    """Something that takes short messages."""

    async def send(self, message: Message) -> SendResult:
        """Try to hand over one message."""
        ...

    async def close(self) -> None:
        """Let go of connections and files."""
        ...


class FileGateway:
    """Appends each message to a local file as one line of JSON; the file is its owner's alone."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._path = path
        self._clock = clock

    async def send(self, message: Message) -> SendResult:
        """Write one line: at, message_id, kind, recipient, body."""
        gateway_id = f"file-{message.message_id}"
        line = msgspec.json.encode(
            {
                "at": self._clock(),
                "message_id": message.message_id,
                "gateway_id": gateway_id,
                "kind": message.kind,
                "recipient": message.recipient,
                "body": message.body,
            }
        )
        try:
            # One short append to a local file takes less than handing it to a thread.
            _append(self._path, line + b"\n")
        except OSError as fault:  # a full disk, a directory that is not ours
            return SendResult(answer=Answer.AWAY, failure=type(fault).__name__)
        return SendResult(answer=Answer.ACCEPTED, gateway_id=gateway_id)

    async def close(self) -> None:
        """Nothing is held open."""


def _append(path: Path, line: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, _FILE_MODE)
    try:
        if os.write(descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, "part of the line was written")
    finally:
        os.close(descriptor)


class _Recipient(msgspec.Struct, rename="camel"):
    status_code: int
    message_id: str = ""
    status: str = ""


class _Data(msgspec.Struct):
    recipients: list[_Recipient] = msgspec.field(name="Recipients", default_factory=list)
    message: str = msgspec.field(name="Message", default="")


class _Answer(msgspec.Struct):
    data: _Data = msgspec.field(name="SMSMessageData")


_ANSWER = msgspec.json.Decoder(_Answer, strict=False)


class AfricasTalkingGateway:
    """Sends by Africa's Talking's messaging call, one recipient a request.

    A 201 only says that the request was read: what counts is the status code of its recipient.
    """

    def __init__(self, settings: Sms, *, seconds_max: float = SEND_SECONDS_MAX) -> None:
        self._settings = settings
        self._timeout = aiohttp.ClientTimeout(total=seconds_max)
        self._client: aiohttp.ClientSession | None = None

    async def send(self, message: Message) -> SendResult:
        """Post one message; no answer within the deadline counts as a try, for it may have left."""
        if self._client is None:
            self._client = aiohttp.ClientSession(timeout=self._timeout)
        form = {
            "username": self._settings.username,
            "to": message.recipient,
            "message": message.body,
            "bulkSMSMode": "1",
            "enqueue": "1",
        }
        if self._settings.sender:
            form["from"] = self._settings.sender
        headers = {"apiKey": self._settings.api_key, "Accept": "application/json"}
        try:
            async with self._client.post(
                self._settings.url, data=form, headers=headers, allow_redirects=False
            ) as answer:
                return read_answer(answer.status, await _body(answer))
        except aiohttp.ClientConnectorError as fault:
            # Never connected: the message cannot have left.
            return SendResult(answer=Answer.AWAY, failure=type(fault).__name__)
        except (aiohttp.ClientError, TimeoutError) as fault:
            return SendResult(answer=Answer.RETRY, failure=type(fault).__name__)

    async def close(self) -> None:
        """Close the connections to the carrier."""
        if self._client is not None:
            await self._client.close()
            self._client = None


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > _ANSWER_BYTES_MAX:
            break
    return bytes(body)


def read_answer(status: int, body: bytes) -> SendResult:
    """Return what an answer of Africa's Talking to a single-recipient request means."""
    if status in _UNAUTHORISED or status == _TOO_MANY or status >= _SERVER_ERROR:
        return SendResult(answer=Answer.AWAY, failure=f"http {status}")
    if status not in _CREATED:
        return SendResult(answer=Answer.RETRY, failure=f"http {status}")
    try:
        recipients = _ANSWER.decode(body).data.recipients
    except (msgspec.DecodeError, UnicodeDecodeError):
        return SendResult(answer=Answer.RETRY, failure="answer not understood")
    if len(recipients) != 1:
        # No recipient at all is how an invalid sender or number list is told.
        return SendResult(answer=Answer.RETRY, failure=f"{len(recipients)} recipients in answer")
    return _of_recipient(recipients[0])


def _of_recipient(recipient: _Recipient) -> SendResult:
    code = recipient.status_code
    if code in _ACCEPTED:
        return SendResult(answer=Answer.ACCEPTED, gateway_id=recipient.message_id or None)
    failure = f"{code} {recipient.status}".strip()
    if code in _ACCOUNT_AT_FAULT:
        return SendResult(answer=Answer.AWAY, failure=failure)
    if code in _REFUSED:
        return SendResult(answer=Answer.REFUSED, failure=failure)
    # 407, cannot be routed, the gateway's own 500 to 502, and whatever is new.
    return SendResult(answer=Answer.RETRY, failure=failure)


def gateway(settings: Sms, *, clock: Clock) -> Gateway:
    """Return the gateway that the settings name."""
    if settings.gateway == "africastalking":
        return AfricasTalkingGateway(settings)
    return FileGateway(Path(settings.file), clock=clock)
