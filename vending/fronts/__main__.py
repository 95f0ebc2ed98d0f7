"""The program of a front; its core starts it, with one end of a pair of sockets as its input."""

import socket

import uvloop

from vending.fronts import front


def main() -> None:
    """Serve until asked to stop, or until the core has gone."""
    uvloop.run(front.run(socket.socket(fileno=0)))


if __name__ == "__main__":
    main()
