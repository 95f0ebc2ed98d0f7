"""An open-loop HTTP/1.1 load generator: requests leave when they are due, whatever comes back.

Latencies count from the instant a request was due, so a server that stalls is charged for every
request that would have been made meanwhile (no coordinated omission). Each connection carries one
request at a time; when all are busy, requests wait here, on the server's account. One epoll loop
without frameworks keeps a request at ten to twenty microseconds of the generator's own processor
time: a client library costs ten times what the server under test does.

The loop blocks: give it a process of its own (`vending.loadtest.gun`).
"""

import errno
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from vending.loadtest import latency

UNANSWERED: Final = 0
"""Status of a request whose connection broke before its answer."""

TIMED_OUT: Final = -1
"""Status of a request that got no answer in time; its connection was dropped."""

NOT_SENT: Final = -2
"""Status of a request that found no free connection in time; it never left."""

_READ_BYTES: Final = 8_192
_HEADS_KNOWN_MAX: Final = 4_096
"""Answers' heads are read once and remembered; the Date in them moves every second."""

_REAP_SECONDS: Final = 0.25
_BLOCK_SECONDS_MAX: Final = 0.1
_FINE_SECONDS: Final = 0.002
_IN: Final = select.EPOLLIN
_OUT: Final = select.EPOLLOUT


class Shot(NamedTuple):
    """One request: when it is due in seconds after the start, what kind it is, and its bytes.

    `kind` and `name` are the caller's own and come back with the answer.
    """

    due: float
    kind: int
    name: str
    request: bytes


OnAnswer = Callable[[Shot, int, bytes, float], None]
"""Told of each shot: its status (or one of the three above), the body, seconds since due."""


def post(path: str, body: bytes, *, host: str, headers: str = "") -> bytes:
    """Return the bytes of a JSON POST. `headers` are whole lines, each ending in CRLF."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{headers}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


def get(path: str, *, host: str, headers: str = "") -> bytes:
    """Return the bytes of a GET. `headers` are whole lines, each ending in CRLF."""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n".encode("ascii")


def _silent(_second: int) -> None:
    """Do nothing at the end of a second."""


class _Line:
    """One connection, and the shot that is on it."""

    __slots__ = ("began", "fd", "ready", "received", "recv", "send", "shot", "sock", "unsent")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.send = sock.send
        self.recv = sock.recv
        self.shot: Shot | None = None
        self.began = 0.0
        self.ready = False
        self.received = b""
        self.unsent = b""


class Generator:
    """Fires shots at one address over so many connections, and tells of each what became of it."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        connections: int,
        on_answer: OnAnswer,
        answer_seconds: float = 8.0,
        grain_seconds: float = 0.0,
    ) -> None:
        """Nothing is opened yet. `answer_seconds` counts from when a shot was due.

        Waking up costs a process more than a request does. With a grain it wakes no more often than
        that, for several requests at once; times are then too long by up to a grain, never too
        short. Without, every request leaves and every answer is taken at once.
        """
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self._family, self._address = found[0], found[4]
        self._size = connections
        self._on_answer = on_answer
        self._answer_seconds = answer_seconds
        self._grain_seconds = grain_seconds
        self._poll = select.epoll()
        self._lines: dict[int, _Line] = {}
        self._free: deque[_Line] = deque()
        self._queue: deque[Shot] = deque()
        self._heads: dict[bytes, tuple[int, int, bool]] = {}
        self._now = time.perf_counter
        self._zero = self._now()
        self._next_reap = 0.0
        self.lag: Counter[int] = Counter()
        """How late shots left although a connection was free; see `vending.loadtest.latency`."""
        self.fired = 0
        self.reconnects = 0

    @property
    def unsent(self) -> int:
        """Shots that are due and wait for a free connection."""
        return len(self._queue)

    def connect(self) -> None:
        """Open the connections and wait for them; raises OSError when nobody listens."""
        with socket.socket(self._family) as probe:
            probe.settimeout(self._answer_seconds)
            probe.connect(self._address)
        for _ in range(self._size):
            self._connect()
        end = self._now() + self._answer_seconds
        while len(self._free) < self._size and self._now() < end:
            self._hear(_BLOCK_SECONDS_MAX)

    def run(self, shots: Iterator[Shot], *, on_second: Callable[[int], None] = _silent) -> float:
        """Fire shots, which come in order of their due times; return when all are settled.

        `on_second` is called with the number of each second that is over, the first being 0.
        Returns the seconds it took.
        """
        self._zero = self._now()
        second, now = 1, self._now
        shot = next(shots, None)
        while shot is not None or self._queue or self._busy():
            since = now() - self._zero
            while shot is not None and shot.due <= since:
                self._fire(shot, since)
                shot = next(shots, None)
            if since >= second:
                on_second(second - 1)
                second += 1
            wait = second - since
            if shot is not None:
                wait = min(wait, shot.due - (now() - self._zero))
            self._hear(wait)
        on_second(second - 1)
        return now() - self._zero

    def saturate(self, shots: Iterator[Shot], *, seconds: float) -> float:
        """Keep every connection busy for so long (closed loop; due times are not looked at).

        Returns the seconds it took, the last answers included.
        """
        self._zero = self._now()
        free, now = self._free, self._now
        while (since := now() - self._zero) < seconds:
            while free and (shot := next(shots, None)) is not None:
                self._fire(shot._replace(due=since), since)
            self._hear(_BLOCK_SECONDS_MAX)
        while self._busy():
            self._hear(_BLOCK_SECONDS_MAX)
        return now() - self._zero

    def close(self) -> None:
        """Close every connection."""
        for line in self._lines.values():
            line.sock.close()
        self._lines.clear()
        self._free.clear()
        self._poll.close()

    def _busy(self) -> bool:
        return any(line.shot is not None for line in self._lines.values())

    def _fire(self, shot: Shot, since: float) -> None:
        self.fired += 1
        if not self._free:
            self._queue.append(shot)
            return
        line = self._free.popleft()
        self.lag[latency.bucket_of(since - max(shot.due, line.began - self._zero))] += 1
        self._send(line, shot)

    def _settle(self, shot: Shot, status: int, body: bytes) -> None:
        self._on_answer(shot, status, body, self._now() - self._zero - shot.due)

    def _hear(self, wait: float) -> None:
        """Wait for answers, at most so many seconds, and take those that are there."""
        if self._grain_seconds and wait < _FINE_SECONDS:
            time.sleep(max(self._grain_seconds, wait))
            wait = 0
        # epoll waits in whole milliseconds, rounded up; what is left of one, select waits for.
        if wait < _FINE_SECONDS:
            if wait > 0:
                select.select((self._poll,), (), (), wait)
            wait = 0
        else:
            wait = min(wait, _BLOCK_SECONDS_MAX) - _FINE_SECONDS / 2
        for fd, event in self._poll.poll(wait):
            line = self._lines.get(fd)
            if line is None:
                continue
            if event & _OUT:
                self._go_on(line)
            if event & ~_OUT and fd in self._lines:
                self._take(line)
        moment = self._now()
        if moment > self._next_reap:
            self._next_reap = moment + _REAP_SECONDS
            self._reap(moment - self._zero - self._answer_seconds)

    def _free_again(self, line: _Line) -> None:
        """Give a connection what waits longest, or let it rest."""
        line.began = self._now()
        while self._queue:
            shot = self._queue.popleft()
            if line.began - self._zero - shot.due <= self._answer_seconds:
                self._send(line, shot)
                return
            self._settle(shot, NOT_SENT, b"")
        self._free.append(line)

    def _send(self, line: _Line, shot: Shot) -> None:
        line.shot = shot
        try:
            sent = line.send(shot.request)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(line, UNANSWERED)
            return
        if sent < len(shot.request):
            line.unsent = shot.request[sent:]
            self._poll.modify(line.fd, _IN | _OUT)

    def _go_on(self, line: _Line) -> None:
        """Go on with a connection or a request that could not be finished at once."""
        if not line.ready:
            if line.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._drop(line, UNANSWERED)
                return
            line.ready = True
            self._poll.modify(line.fd, _IN)
            self._free_again(line)
            return
        try:
            line.unsent = line.unsent[line.send(line.unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self._drop(line, UNANSWERED)
            return
        if not line.unsent:
            self._poll.modify(line.fd, _IN)

    def _take(self, line: _Line) -> None:
        try:
            data = line.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(line, UNANSWERED)
            return
        if line.received:
            data = line.received + data
        head = self._head(data)
        if head is None or len(data) < head[1]:
            line.received = data
            return
        status, length, stays = head
        shot, line.shot, line.received = line.shot, None, b""
        if shot is not None:
            self._settle(shot, status, data[data.find(b"\r\n\r\n") + 4 : length])
        if stays and shot is not None:
            self._free_again(line)
        else:
            self._drop(line, UNANSWERED)

    def _head(self, data: bytes) -> tuple[int, int, bool] | None:
        """Return an answer's status, its whole length, and whether the connection stays open.

        None while its head is not whole. Answers must have a Content-Length, as ours all do.
        """
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = data[:end]
        known = self._heads.get(head)
        if known is None:
            if len(self._heads) > _HEADS_KNOWN_MAX:
                self._heads.clear()
            known = self._heads[head] = _read_head(head)
        return known

    def _reap(self, late: float) -> None:
        """Give up on what was due too long ago; replace connections that are missing."""
        for line in list(self._lines.values()):
            if line.shot is not None and line.shot.due < late:
                self._drop(line, TIMED_OUT)
        while self._queue and self._queue[0].due < late:
            self._settle(self._queue.popleft(), NOT_SENT, b"")
        for _ in range(self._size - len(self._lines)):
            self.reconnects += 1
            self._connect()

    def _drop(self, line: _Line, status: int) -> None:
        """Give up a connection; the next reaping makes another, not in a tight circle."""
        if line in self._free:
            self._free.remove(line)
        self._lines.pop(line.fd, None)
        line.sock.close()
        shot, line.shot = line.shot, None
        if shot is not None:
            self._settle(shot, status, b"")

    def _connect(self) -> None:
        sock = socket.socket(self._family, socket.SOCK_STREAM)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        if sock.connect_ex(self._address) not in (0, errno.EINPROGRESS):
            sock.close()
            return
        line = _Line(sock)
        self._lines[line.fd] = line
        self._poll.register(line.fd, _IN | _OUT)


def _read_head(head: bytes) -> tuple[int, int, bool]:
    first, *lines = head.split(b"\r\n")
    status, length, stays = int(first.split(b" ", 2)[1]), 0, True
    for line in lines:
        name, _, value = line.partition(b":")
        match name.strip().lower():
            case b"content-length":
                length = int(value)
            case b"connection":
                stays = value.strip().lower() != b"close"
            case _:
                pass
    return status, len(head) + 4 + length, stays
