"""A load reaches a real socket, and what became of each request is kept by its number."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks import gun
from benchmarks.gun import UNANSWERED, Fired, Load, Phase
from benchmarks.requests import Order

ORDER = Order(kind="echo", path="/", prefix="ABCDE", meters=[])
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def answering(answers: dict[bytes, bytes]) -> Iterator[int]:
    """Answer each request by its last byte; hang up on those there is no answer for."""
    listening = socket.create_server(("127.0.0.1", 0))

    def talk(line: socket.socket) -> None:
        with line:
            while data := line.recv(4096):
                answer = answers.get(data[-1:])
                if answer is None:
                    return
                line.sendall(answer)

    def accept() -> None:
        while True:
            try:
                line, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(line,), daemon=True).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        accepting.join()


def request_of(number: int) -> bytes:
    return b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n" + b"%d" % (number % 10)


def throw(port: int, *, seconds: float = 0.0, phases: tuple[Phase, ...] = ()) -> Fired:
    load = Load(
        host="127.0.0.1", port=port, order=ORDER, connections=4, seconds=seconds,
        phases=list(phases), patience_seconds=1.0, seed=5,
    )  # fmt: skip
    return gun.fire(load, request_of)


def test_an_open_loop_asks_once_for_each_arrival_and_keeps_each_answer() -> None:
    everything = {b"%d" % digit: OK for digit in range(10)}
    phase = Phase(per_second=400, seconds=0.25)
    with answering(everything | {b"3": BUSY}) as port:
        fired = throw(port, phases=(phase,))
    due, latency, status = fired.columns()
    assert list(due) == list(gun.arrivals([phase], seed=5))
    assert [code for number, code in enumerate(status) if number % 10 == 3] == [503] * len(
        status[3::10]
    )
    assert set(status) == {200, 503}
    assert all(took > 0 for took in latency)


def test_a_request_whose_connection_breaks_counts_as_unanswered() -> None:
    with answering({b"%d" % digit: OK for digit in range(9)}) as port:
        fired = throw(port, phases=(Phase(per_second=200, seconds=0.2),))
    status = fired.columns()[2]
    assert status[9] == UNANSWERED
    assert status[0] == 200


def test_a_closed_loop_keeps_every_connection_busy() -> None:
    with answering({b"%d" % digit: OK for digit in range(10)}) as port:
        fired = throw(port, seconds=0.1)
    due, _latency, status = fired.columns()
    assert len(status) > 4
    assert set(status) == {200}
    assert list(due) == sorted(due)


def test_nobody_listening_is_an_error_and_not_a_result() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(OSError, match="refused"):
        throw(port, seconds=0.1)


def test_arrivals_come_at_the_rates_of_their_phases() -> None:
    phases = [
        Phase(per_second=0, seconds=5),
        Phase(per_second=100, seconds=10),
        Phase(per_second=1000, seconds=10),
    ]
    due = list(gun.arrivals(phases, seed=1))
    assert due == sorted(due)
    assert not any(at < 5 for at in due)
    assert 900 < sum(5 <= at < 15 for at in due) < 1100
    assert 9_700 < sum(15 <= at < 25 for at in due) < 10_300
    assert due == list(gun.arrivals(phases, seed=1))
    assert due != list(gun.arrivals(phases, seed=2))
