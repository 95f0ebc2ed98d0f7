"""HTTP by the standard library, for programs that block."""

import http.client
import ssl
import threading
from urllib.parse import urlsplit

from vending.client.delivery import BODY_BYTES_MAX, seconds_of
from vending.client.steps import Reply, Request

IDLE_SECONDS_MAX = 0.5
"""A full server closes what idles for a second; connecting anew costs less than a doubt."""


class Wires:
    """One kept connection for each thread that calls."""

    def __init__(self, url: str, *, context: ssl.SSLContext | None) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port
        self._prefix = parts.path
        self._context = None
        if parts.scheme == "https":
            self._context = context or ssl.create_default_context()
        self._kept = threading.local()
        self._lock = threading.Lock()
        self._all: set[http.client.HTTPConnection] = set()

    def send(self, request: Request, *, at: float) -> Reply:
        """Send a request and read its answer whole; `at` is a steady clock's."""
        wire = self._wire(request.seconds, at=at)
        try:
            if wire.sock is None:
                wire.connect()
        except OSError:
            self._drop(wire)
            return Reply(sent=False)
        try:
            wire.sock.settimeout(request.seconds)
            wire.request(
                request.method, self._prefix + request.path,
                body=request.body or None, headers=request.headers,
            )  # fmt: skip
            answer = wire.getresponse()
            body = answer.read(BODY_BYTES_MAX)
        except (OSError, http.client.HTTPException):
            self._drop(wire)
            return Reply()
        if answer.will_close or not answer.isclosed():
            self._drop(wire)
        return Reply(
            status=answer.status,
            body=body,
            retry_after=seconds_of(answer.headers["Retry-After"]),
            trace_id=answer.headers["Trace-Id"] or "",
        )

    def close(self) -> None:
        """Close every thread's connection."""
        with self._lock:
            wires, self._all = self._all, set()
        for wire in wires:
            wire.close()

    def _wire(self, seconds: float, *, at: float) -> http.client.HTTPConnection:
        kept: http.client.HTTPConnection | None = getattr(self._kept, "wire", None)
        if kept is not None and at - self._kept.at > IDLE_SECONDS_MAX:
            self._drop(kept)
            kept = None
        self._kept.at = at
        if kept is not None:
            return kept
        wire: http.client.HTTPConnection
        if self._context is not None:
            wire = http.client.HTTPSConnection(
                self._host, self._port, timeout=seconds, context=self._context
            )
        else:
            wire = http.client.HTTPConnection(self._host, self._port, timeout=seconds)
        self._kept.wire = wire
        with self._lock:
            self._all.add(wire)
        return wire

    def _drop(self, wire: http.client.HTTPConnection) -> None:
        wire.close()
        self._kept.wire = None
        with self._lock:
            self._all.discard(wire)
