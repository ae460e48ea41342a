"""Reads the requests of an HTTP/1.1 connection as a load balancer does: it passes on each one or answers it itself."""

from __future__ import annotations

from collections.abc import Callable

MAX_HEAD = 64 * 1024
HEAD_END, LINE_END = b"\r\n\r\n", b"\r\n"
BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

# Given a request's target as it was sent; returns the whole answer to a request that must not be passed on, else None.
Answer = Callable[[str], bytes | None]


class Refused(Exception):
    """The connection ends with `answer`."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self.answer = answer


class Requests:
    """The requests of one connection.

    A request that is not framed clearly is refused, as a load balancer in its defensive mode does: two readers of one
    connection must see the same requests.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._buffer = b""
        self._read: Callable[[], bytes] = self._head
        self._remaining = 0

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Return what to pass on of the data so far, and the answer that ends the connection or None."""
        self._buffer += data
        passed: list[bytes] = []
        try:
            while piece := self._read():
                passed.append(piece)
        except Refused as refused:
            return b"".join(passed), refused.answer
        return b"".join(passed), None

    def _head(self) -> bytes:
        end = self._buffer.find(HEAD_END)
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise Refused(BAD_REQUEST)
            return b""
        request_line, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        parts = request_line.split(" ")
        if (
            len(parts) != 3
            or not parts[2].startswith("HTTP/1.")
            or any("\n" in line for line in (request_line, *lines))
        ):
            raise Refused(BAD_REQUEST)
        if (answer := self._answer(parts[1])) is not None:
            raise Refused(answer)
        self._frame(lines)
        return self._take(end + len(HEAD_END))

    def _frame(self, lines: list[str]) -> None:
        """Find out how the body ends."""
        headers = [line.split(":", 1) for line in lines]
        if any(len(header) != 2 or header[0] != header[0].strip() for header in headers):
            raise Refused(BAD_REQUEST)
        lengths = [value.strip() for name, value in headers if name.lower() == "content-length"]
        codings = [value.strip().lower() for name, value in headers if name.lower() == "transfer-encoding"]
        if codings:
            if lengths or codings != ["chunked"]:
                raise Refused(BAD_REQUEST)
            self._read = self._chunk
        elif lengths:
            if len(lengths) > 1 or not (lengths[0].isascii() and lengths[0].isdigit()):
                raise Refused(BAD_REQUEST)
            self._remaining = int(lengths[0])
            self._read = self._body if self._remaining else self._head

    def _body(self) -> bytes:
        piece = self._take(self._remaining)
        self._remaining -= len(piece)
        if not self._remaining:
            self._read = self._head
        return piece

    def _chunk(self) -> bytes:
        line = self._line()
        if line:
            try:
                size = int(line.split(b";")[0].strip(), 16)
            except ValueError:
                raise Refused(BAD_REQUEST) from None
            self._remaining = size + len(LINE_END)
            self._read = self._chunk_data if size else self._trailer
        return line

    def _chunk_data(self) -> bytes:
        piece = self._take(self._remaining)
        self._remaining -= len(piece)
        if not self._remaining:
            self._read = self._chunk
        return piece

    def _trailer(self) -> bytes:
        line = self._line()
        if line == LINE_END:
            self._read = self._head
        return line

    def _line(self) -> bytes:
        end = self._buffer.find(LINE_END)
        if end < 0 and len(self._buffer) > MAX_HEAD:
            raise Refused(BAD_REQUEST)
        return self._take(end + len(LINE_END)) if end >= 0 else b""

    def _take(self, length: int) -> bytes:
        piece, self._buffer = self._buffer[:length], self._buffer[length:]
        return piece
