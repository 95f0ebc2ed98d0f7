"""The generator, against servers that are good, slow, rude and away."""

import socket
import socketserver
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from vending.loadtest import generator
from vending.loadtest.generator import Generator, Shot

REQUEST = generator.post("/x", b'{"a":1}', host="localhost")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Answer = Callable[[socket.socket, int], bool]
"""Answers the request of a number; False ends the connection."""


class Server(socketserver.ThreadingTCPServer):
    """Counts requests and answers each as it is told."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Talk)
        self.answer = answer
        self.seen = 0


class Talk(socketserver.BaseRequestHandler):
    """One connection of such a server."""

    def handle(self) -> None:
        assert isinstance(self.server, Server)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        heard = b""
        while part := self.request.recv(65536):
            heard += part
            while REQUEST in heard:
                heard = heard.replace(REQUEST, b"", 1)
                self.server.seen += 1
                if not self.server.answer(self.request, self.server.seen):
                    return


@contextmanager
def serving(answer: Answer) -> Iterator[int]:
    """Serve in threads until the block ends; gives the port."""
    with Server(answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def fired(
    port: int, shots: list[Shot], *, connections: int = 2, answer_seconds: float = 5.0
) -> list[tuple[str, int, bytes]]:
    """Fire shots and return name, status and body of each, as they were settled."""
    settled: list[tuple[str, int, bytes]] = []
    gun = Generator(
        "127.0.0.1",
        port,
        connections=connections,
        answer_seconds=answer_seconds,
        on_answer=lambda shot, status, body, _seconds: settled.append((shot.name, status, body)),
    )
    gun.connect()
    gun.run(iter(shots))
    gun.close()
    return settled


def shots(count: int, apart: float = 0.001) -> list[Shot]:
    return [Shot(number * apart, 0, str(number), REQUEST) for number in range(count)]


def good(line: socket.socket, _number: int) -> bool:
    line.sendall(OK)
    return True


def test_every_shot_gets_its_answer() -> None:
    with serving(good) as port:
        settled = fired(port, shots(50))
    assert sorted(int(name) for name, _, _ in settled) == list(range(50))
    assert {(status, body) for _, status, body in settled} == {(200, b"ok")}


def test_an_answer_in_pieces_is_put_together() -> None:
    def pieces(line: socket.socket, _number: int) -> bool:
        for place in range(len(OK)):
            line.sendall(OK[place : place + 1])
        return True

    with serving(pieces) as port:
        assert sorted(fired(port, shots(2))) == [("0", 200, b"ok"), ("1", 200, b"ok")]


def test_a_connection_that_is_closed_after_its_answer_is_replaced() -> None:
    def polite(line: socket.socket, _number: int) -> bool:
        line.sendall(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return False

    with serving(polite) as port:
        settled = fired(port, shots(6), connections=1)
    assert [status for _, status, _ in settled] == [503] * 6


def test_a_connection_that_breaks_leaves_its_shot_unanswered() -> None:
    def rude(line: socket.socket, number: int) -> bool:
        if number == 2:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        return good(line, number)

    with serving(rude) as port:
        settled = fired(port, shots(4, apart=0.02), connections=1)
    assert Counter(status for _, status, _ in settled) == {200: 3, generator.UNANSWERED: 1}


def test_no_answer_in_time_is_told_and_so_is_what_found_no_connection() -> None:
    def silent(_line: socket.socket, _number: int) -> bool:
        return True

    with serving(silent) as port:
        settled = fired(port, shots(3, apart=0.0), connections=1, answer_seconds=0.3)
    assert {name: status for name, status, _ in settled} == {
        "0": generator.TIMED_OUT,
        "1": generator.NOT_SENT,
        "2": generator.NOT_SENT,
    }


def test_latency_counts_from_when_a_request_was_due() -> None:
    """It was due long before the generator began, as after a stall."""
    taken: list[float] = []
    with serving(good) as port:
        gun = Generator(
            "127.0.0.1",
            port,
            connections=1,
            answer_seconds=10_000,
            on_answer=lambda _shot, _status, _body, seconds: taken.append(seconds),
        )
        gun.connect()
        gun.run(iter([Shot(-1_000, 0, "", REQUEST), Shot(-500, 0, "", REQUEST)]))
        gun.close()
    first, second = taken
    assert first >= 1_000
    assert 500 <= second < 1_000


def test_with_a_grain_every_shot_is_answered_all_the_same() -> None:
    statuses: Counter[int] = Counter()
    with serving(good) as port:
        gun = Generator(
            "127.0.0.1",
            port,
            connections=2,
            on_answer=lambda _shot, status, _body, _seconds: statuses.update([status]),
            grain_seconds=0.002,
        )
        gun.connect()
        gun.run(iter(shots(40)))
        gun.close()
    assert statuses == {200: 40}


def test_each_second_is_told_once_and_in_order() -> None:
    told: list[int] = []
    with serving(good) as port:
        gun = Generator("127.0.0.1", port, connections=1, on_answer=lambda *_answer: None)
        gun.connect()
        gun.run(iter(shots(3, apart=0.6)), on_second=told.append)
        gun.close()
    assert told == sorted(set(told))
    assert told[:2] == [0, 1]


def test_a_closed_loop_asks_again_as_soon_as_it_is_answered() -> None:
    statuses: Counter[int] = Counter()
    with serving(good) as port:
        gun = Generator(
            "127.0.0.1",
            port,
            connections=3,
            on_answer=lambda _shot, status, _body, _seconds: statuses.update([status]),
        )
        gun.connect()
        gun.saturate((Shot(0, 0, "", REQUEST) for _ in iter(int, 1)), seconds=0.3)
        gun.close()
    assert set(statuses) == {200}
    assert statuses[200] == gun.fired > 3


def test_an_address_where_nobody_listens_is_an_error_at_once() -> None:
    with serving(good) as port:
        pass
    with pytest.raises(OSError, match="refused"):
        fired(port, shots(1))
