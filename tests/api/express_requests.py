"""Requests to the busy addresses as nobody should send them: plain ones, changed by chance.

Everything follows from the seed, so that a request that made a difference can be made again.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

MPESA_SECRET: Final = "7f3c-0123456789abcdef"
SALES_SECRET: Final = "a-till's-own-secret"
BODY_BYTES_MAX: Final = 2_048

OPERATOR: Final = "127.0.0.1"
OPERATORS: Final = "198.51.100.0/24"
PROXIES: Final = "10.0.0.0/8"

PEERS: Final[tuple[object, ...]] = (
    *((OPERATOR, 40_000),) * 24,
    *(("10.1.2.3", 40_000),) * 6,
    ("198.51.100.7", 40_000),
    ("::ffff:127.0.0.1", 40_000, 0, 0),
    ("203.0.113.9", 40_000),
    "",
    None,
)
"""The other ends of sockets: the operator, our proxy, another address of the operator, strangers,
and a Unix socket's."""

_HOPS = (
    *("127.0.0.1", "198.51.100.9", "127.0.0.1, 10.9.9.9", "203.0.113.9, 198.51.100.1") * 8,
    "127.0.0.1", "198.51.100.7", "203.0.113.9", "10.9.9.9", "127.0.0.1, 10.9.9.9",
    "203.0.113.9,127.0.0.1", "127.0.0.1,203.0.113.9", "unknown", "", ",", "127.0.0.1,",
    "::1", "127.0.0.1:80", "[::ffff:127.0.0.1]", "::ffff:127.0.0.1", '"127.0.0.1"',
    "127.0.0.1, 127.0.0.1", "127.0.0.1\t", "127.0.0.1 , 10.0.0.1", "0127.0.0.1",
)  # fmt: skip

_HARMLESS = (
    b"User-Agent: Apache-HttpClient/4.5\r\n", b"Accept: */*\r\n", b"Accept-Encoding: gzip\r\n",
    b"Content-Type: application/json\r\n", b"Content-Type: text/plain; charset=utf-16\r\n",
    b"Content-Type: multipart/form-data; boundary=x\r\n", b"Cookie: a=b; c\r\n", b"X-Empty:\r\n",
    b"X-Empty: \r\n", b"Accept:*/*\r\n", b"Connection: keep-alive\r\n",
    b"Connection: Keep-Alive\r\n", b"X-Trace: 0-1:2;3,4\"5'6\r\n", b"If-None-Match: *\r\n",
    b"Range: bytes=0-1\r\n", b"Origin: http://x\r\n", b"Date: Sun, 22 Nov 2026 08:00:00 GMT\r\n",
    b"DNT: 1\r\n", b"Forwarded: for=127.0.0.1\r\n", b"X-Real-IP: 127.0.0.1\r\n",
    b"Priority: u=1\r\n", b"X-HTTP-Method-Override: GET\r\n", b"Cache-Control: no-cache\r\n",
    b"Referer: \\/\r\n",
)  # fmt: skip

_ODD = (
    b"Transfer-Encoding: chunked\r\n", b"transfer-encoding: Chunked\r\n",
    b"Transfer-Encoding: identity\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding:\tchunked\r\n", b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding: xchunked\r\n", b"Transfer-Encoding:\r\n", b"TE: trailers\r\n",
    b"Trailer: X\r\n", b"Expect: 100-continue\r\n", b"expect: 100-Continue\r\n",
    b"Expect: more\r\n", b"Expect:\r\n", b"Connection: close\r\n", b"Connection: Close\r\n",
    b"Connection: upgrade\r\n", b"Connection: keep-alive, close\r\n", b"Connection:\r\n",
    b"Connection: x\r\n", b"Connection: keep-alive\r\nConnection: close\r\n",
    b"Upgrade: websocket\r\n", b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n",
    b"HTTP2-Settings: AA\r\n", b"Proxy-Connection: close\r\n", b"Keep-Alive: timeout=1\r\n",
    b"Content-Encoding: gzip\r\n", b"Content-Encoding: identity\r\n", b"Content-Encoding: br\r\n",
    b"Content-Length: 0\r\n", b"Content-Length: 5\r\n", b"Content-Length : 5\r\n",
    b"Content-Length: 5, 5\r\n", b"Host: y\r\n", b"Host: \r\n", b"X: a\r\n b\r\n",
    b"X: a\r\n\tb\r\n", b"X: a\nY: b\r\n", b"X: a\rb\r\n", b"X: \0\r\n", b"X: a\0b\r\n",
    b"X: \xe9\xff\r\n", b"X: \xc3\xa9\r\n", b"X:  two\r\n", b"X: end \r\n", b"X:\tx\r\n",
    b"X: a\tb\r\n", b"X : a\r\n", b" X: a\r\n", b"\tX: a\r\n", b": a\r\n", b"X\r\n", b"X_Y: a\r\n",
    b"X(): a\r\n", b"X\xff: a\r\n", b"X\0: a\r\n", b"X: a\x7f\r\n", b"X: a\x01\r\n", b"\r\n",
    b"\n", b"\r", b"X: a\r\r\n", b"Content-Length: 1\nX: a\r\n", b"Content-Length:\r\n 5\r\n",
    b"Authorization: Basic eA==\r\n", b"X-Forwarded-For: 127.0.0.1\r\n",
)  # fmt: skip

_LENGTHS: Final[tuple[Callable[[int], str], ...]] = (
    lambda n: f"0{n}", lambda n: f"000000{n}", lambda n: f"+{n}", lambda n: f"-{n}", hex,
    lambda n: f"{n}.0", lambda n: f"{n}e0", lambda n: f"{n} ", lambda n: f" {n}", lambda n: f"{n},",
    lambda n: f"{n}, {n}", lambda n: f"{n}\r\nContent-Length: {n}",
    lambda n: f"{n}\r\nContent-Length: {n + 1}", lambda n: f"{n}\r\ncontent-length: 0",
    lambda n: str(n + 1), lambda n: str(max(0, n - 1)), lambda n: str(n * 2), lambda n: "0",
    lambda n: "", lambda n: str(n + (1 << 64)), lambda n: str(n + (1 << 32)), lambda n: "9" * 30,
    lambda n: f"{n}\t", lambda n: f"{n};", lambda n: f"{n}\x0b", lambda n: f"1_{n}",
    lambda n: f"{n}\r\nTransfer-Encoding: chunked", lambda n: str(n)[::-1], lambda n: f"\xb2{n}",
)  # fmt: skip

_TARGETS: Final[tuple[Callable[[str], str], ...]] = (
    lambda t: "http://x" + t, lambda t: "https://x:443" + t, lambda t: "x" + t, lambda t: t + "/",
    lambda t: t + "?", lambda t: t + "?a=b", lambda t: t + "?a=%2f&b", lambda t: t + "#a",
    lambda t: t + ";a", lambda t: "/" + t, lambda t: "//x" + t, lambda t: "/." + t,
    lambda t: "/x/.." + t, lambda t: t + "/.", lambda t: t + "/../" + t.rpartition("/")[2],
    lambda t: t.replace("/", "//", 2), lambda t: t.upper(), lambda t: t.replace("s", "%73", 1),
    lambda t: t.replace("i", "%69"), lambda t: t.replace("/", "%2F"), lambda t: t + "%00",
    lambda t: t + "%0d%0a", lambda t: t.replace("v2", "v3"), lambda t: t.replace("v1", "v%31"),
    lambda t: t.replace("confirm", "check"), lambda t: t + "\t", lambda t: t + "\xa0",
    lambda t: t.replace("/", "\\"), lambda t: "*", lambda t: "", lambda t: "x:80",
    lambda t: t.replace(MPESA_SECRET, "."), lambda t: t.replace(MPESA_SECRET, ".."),
    lambda t: t.replace(MPESA_SECRET, ""), lambda t: t.replace(MPESA_SECRET, MPESA_SECRET + "/"),
    lambda t: t.replace(MPESA_SECRET, "{secret}"), lambda t: t.replace("/", "/~", 1),
    lambda t: t + "x" * 3_000, lambda t: t + "?" + "x" * 5_000, lambda t: t + "?x=/..//.",
)  # fmt: skip

_METHODS = (
    "GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "post", "Post", "POSTT",
    "POS", "", "PRI", "M-SEARCH", "QUERY", "\0POST",
)  # fmt: skip
_VERSIONS = (
    "HTTP/1.0", "HTTP/1.1", "HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "http/1.1", "HTTP/1.10", "HTTP/1",
    "HTTP/01.1", "HTTP/1.1 ", " HTTP/1.1", "ICE/1.0", "RTSP/1.0", "", "HTTP/1.1\t",
)  # fmt: skip
_JUNK = b"\0\t\n\r \"%&'()*+,-./0159:;<=>?@AZ[\\]^_`az{|}~\x7f\x80\xff"


@dataclass(slots=True)
class Draft:
    """A request in its parts, before it is put together."""

    method: str
    target: str
    body: bytes
    version: str = "HTTP/1.1"
    length: str | None = None
    lines: list[bytes] = field(default_factory=list)
    ends: bytes = b"\r\n"

    def put_together(self) -> bytes:
        """Return the request as bytes."""
        head = f"{self.method} {self.target} {self.version}".encode("latin-1")
        return b"".join([head, self.ends, *self.lines, b"\r\n", self.body])


class Pen:
    """Writes requests; every one has a reference of its own."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self._written = 0

    def request(self) -> bytes:
        """Return a request: a plain one, or one that was changed in some ways."""
        chance = self.chance
        draft = self._draft()
        times = chance.choice((0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3))
        for _ in range(times):
            chance.choice(_CHANGES)(self, draft)
        sent = draft.put_together()
        what = chance.random()
        if what < 0.06:
            sent = self._with_more_behind(sent)
        elif what < 0.16:
            sent = self._with_other_bytes(sent)
        return sent

    def plain(self) -> bytes:
        """Return a request that nobody could misread."""
        return self._draft().put_together()

    def _draft(self) -> Draft:
        chance = self.chance
        what = chance.random()
        lines = [b"Host: stima.example\r\n"]
        if what < 0.47:
            draft = Draft("POST", self._confirm_path(), self._confirmation())
        elif what < 0.92:
            draft = Draft("POST", "/internal/sales", self._sale())
            lines.append(self._authorization())
        else:
            draft = Draft(*chance.choice(_OTHERS))
        if chance.random() < 0.5:
            lines.append(f"X-Forwarded-For: {chance.choice(_HOPS)}\r\n".encode())
        lines += chance.sample(_HARMLESS, chance.choice((0, 1, 1, 2, 3)))
        if draft.body or chance.random() < 0.5:
            draft.length = str(len(draft.body))
            lines.append(f"Content-Length: {draft.length}\r\n".encode())
        if chance.random() < 0.3:
            chance.shuffle(lines)
        draft.lines = lines
        return draft

    def _confirm_path(self) -> str:
        secret = MPESA_SECRET
        if self.chance.random() < 0.1:
            secret = self.chance.choice(
                ("wrong", secret[:-1], secret + "x", "-", "~", "..", "1" * 90)
            )
        return f"/op/saf/{secret}/v{self.chance.choice('12')}/confirm"

    def _authorization(self) -> bytes:
        given = "Bearer " + SALES_SECRET
        if self.chance.random() < 0.1:
            given = self.chance.choice(
                (
                    given[:-1],
                    given.replace(" ", "  "),
                    given + " ",
                    given.lower(),
                    SALES_SECRET,
                    "",
                    "Bearer",
                )
            )
        return f"Authorization: {given}\r\n".encode()

    def _reference(self) -> str:
        self._written += 1
        return f"T{self._written:08X}"

    def _confirmation(self) -> bytes:
        amount, code = "500.00", "888880"
        what = self.chance.random()
        if what < 0.04:
            amount = self.chance.choice(("-1", "0", "1e3", "5.001", "", "9" * 30))
        elif what < 0.08:
            code = self.chance.choice(("888888", "1", "x", ""))
        body = (
            f'{{"TransactionType":"Pay Bill","TransID":"{self._reference()}",'
            f'"TransTime":"20261122105900","TransAmount":"{amount}","BusinessShortCode":"{code}",'
            '"BillRefNumber":"14123456783","MSISDN":"2547 ***** 149","FirstName":"ACHIENG"}'
        )
        return self._spoilt(body.encode())

    def _sale(self) -> bytes:
        body = f'{{"reference":"{self._reference()}","meter":"14123456783","amount_minor":50000}}'
        return self._spoilt(body.encode())

    def _spoilt(self, body: bytes) -> bytes:
        what = self.chance.random()
        if what > 0.1:
            return body
        if what < 0.02:
            filled = body + b" " * (BODY_BYTES_MAX - len(body))
            return filled + self.chance.choice((b"", b" ", b" " * BODY_BYTES_MAX))
        at = self.chance.randrange(len(body))
        return self.chance.choice(
            (
                b"",
                body[:at],
                body[at:],
                b"[]",
                b"null",
                b"\xff\xfe",
                body + body,
                b"\r\n\r\n",
                body[::-1],
            )
        )

    def _with_more_behind(self, sent: bytes) -> bytes:
        other = self.plain()
        return sent + self.chance.choice(
            (other, other + other, other[: self.chance.randrange(len(other))], b"\r\n", b"\0", b"x",
             b"GET / HTTP/1.1\r\n\r\n", b"0\r\n\r\n")
        )  # fmt: skip

    def _with_other_bytes(self, sent: bytes) -> bytes:
        chance = self.chance
        changed = bytearray(sent)
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            if not changed:
                break
            at = chance.randrange(len(changed))
            match chance.randrange(5):
                case 0:
                    changed[at] = chance.choice(_JUNK)
                case 1:
                    changed.insert(at, chance.choice(_JUNK))
                case 2:
                    del changed[at]
                case 3:
                    changed[at] ^= 1 << chance.randrange(8)
                case _:
                    cut = slice(at, None) if chance.random() < 0.5 else slice(at)
                    del changed[cut]
        return bytes(changed)

    def change_method(self, draft: Draft) -> None:
        """Ask by another method."""
        draft.method = self.chance.choice(_METHODS)

    def change_target(self, draft: Draft) -> None:
        """Ask for nearly the same path."""
        draft.target = self.chance.choice(_TARGETS)(draft.target)

    def change_version(self, draft: Draft) -> None:
        """Speak another HTTP."""
        draft.version = self.chance.choice(_VERSIONS)

    def change_length(self, draft: Draft) -> None:
        """Say how long the body is in another way, or wrongly."""
        said = self.chance.choice(_LENGTHS)(len(draft.body))
        line = f"Content-Length: {said}\r\n".encode("latin-1")
        kept = [one for one in draft.lines if not one.startswith(b"Content-Length")]
        kept.insert(self.chance.randrange(len(kept) + 1), line)
        draft.lines = kept

    def chunk(self, draft: Draft) -> None:
        """Send the body in chunks, with or without its length."""
        kept = [one for one in draft.lines if not one.startswith(b"Content-Length")]
        draft.lines = self.chance.choice((kept, draft.lines))
        draft.lines.append(b"Transfer-Encoding: chunked\r\n")
        draft.body = self.chance.choice(
            (b"%x\r\n%s\r\n0\r\n\r\n" % (len(draft.body), draft.body),
             b"%x;a=b\r\n%s\r\n0\r\nX: y\r\n\r\n" % (len(draft.body), draft.body),
             b"0\r\n\r\n", b"0\r\n\r\n" + draft.body, draft.body)
        )  # fmt: skip

    def add_odd(self, draft: Draft) -> None:
        """Add a header that asks for something, or is not quite one."""
        draft.lines.insert(self.chance.randrange(len(draft.lines) + 1), self.chance.choice(_ODD))

    def add_harmless(self, draft: Draft) -> None:
        """Add a header that means nothing here."""
        line = self.chance.choice(_HARMLESS)
        draft.lines.insert(self.chance.randrange(len(draft.lines) + 1), line)

    def repeat(self, draft: Draft) -> None:
        """Say a header twice."""
        line = self.chance.choice(draft.lines)
        draft.lines.insert(self.chance.randrange(len(draft.lines) + 1), line)

    def drop(self, draft: Draft) -> None:
        """Leave a header out."""
        draft.lines.pop(self.chance.randrange(len(draft.lines)))
        if not draft.lines:
            draft.lines.append(b"X: y\r\n")

    def recase(self, draft: Draft) -> None:
        """Write a header's name, or all of it, in other letters."""
        at = self.chance.randrange(len(draft.lines))
        name, colon, value = draft.lines[at].partition(b":")
        draft.lines[at] = self.chance.choice(
            (name.upper() + colon + value, name.lower() + colon + value, draft.lines[at].swapcase())
        )

    def respace(self, draft: Draft) -> None:
        """Put other white space, or another end, to a header."""
        at = self.chance.randrange(len(draft.lines))
        name, _, value = draft.lines[at].partition(b":")
        value = value.strip()
        draft.lines[at] = self.chance.choice(
            (b"%s:%s\r\n", b"%s:  %s\r\n", b"%s:\t%s\r\n", b"%s : %s\r\n", b"%s: %s \r\n",
             b"%s: %s\n", b"%s: %s\r", b"%s:\r\n %s\r\n", b" %s: %s\r\n",
             b"%s: %s\r\r\n", b"%s: %s\t\r\n")
        ) % (name, value)  # fmt: skip

    def reorder(self, draft: Draft) -> None:
        """Say the headers in another order."""
        self.chance.shuffle(draft.lines)

    def lengthen(self, draft: Draft) -> None:
        """Make the head long, or its headers many."""
        if self.chance.random() < 0.5:
            size = self.chance.choice((200, 1_000, 3_400, 3_700, 4_096, 8_100, 8_200, 9_000))
            draft.lines.append(b"X-Long: " + b"x" * size + b"\r\n")
        else:
            number = self.chance.choice((5, 20, 26, 28, 30, 32, 34, 58, 62, 64, 70))
            draft.lines += [b"X-%d: y\r\n" % each for each in range(number)]

    def change_ends(self, draft: Draft) -> None:
        """End the first line, or begin before it, in another way."""
        if self.chance.random() < 0.5:
            draft.ends = self.chance.choice(
                (b"\n", b"\r", b"\r\r\n", b"", b"\r\n ", b"\r\n\r\n", b"\n\r")
            )
        else:
            draft.method = self.chance.choice(("\r\n", "\n", " ", "\r\n\r\n", "\0")) + draft.method


_OTHERS: Final = (
    ("GET", "/health/live", b""), ("GET", "/health/live?full=1", b""), ("GET", "/nothing", b""),
    ("GET", "/internal/sales", b""), ("GET", "/health/live", b"hello"),
    ("POST", "/nothing", b"hello"), ("POST", "/health/live", b"{}"),
    ("GET", "/health/ready", b""), ("POST", "/", b"{}"),
    ("GET", f"/op/saf/{MPESA_SECRET}/v2/confirm", b"{}"),
    ("POST", f"/op/saf/{MPESA_SECRET}/v2/confirm/", b"{}"), ("POST", "/internal/sales/", b"{}"),
    ("POST", "/op/saf/a/b/v1/confirm", b"{}"), ("POST", "/nothing", b"x" * 3_000),
)  # fmt: skip

_CHANGES: Final = (
    *(Pen.change_length, Pen.add_odd, Pen.change_target, Pen.respace, Pen.add_harmless),
    *(Pen.add_harmless, Pen.recase, Pen.reorder, Pen.recase, Pen.reorder, Pen.repeat, Pen.drop),
    *(Pen.lengthen, Pen.chunk, Pen.change_method, Pen.change_version, Pen.change_ends),
)
