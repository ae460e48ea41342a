"""Reads Protocol Buffers as they are sent: the fields of a message, by number, without a library for it."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
WIDTHS = {FIXED64: 8, FIXED32: 4}
LONGEST_VARINT = 10  # bytes

Value = int | bytes


class BadMessage(ValueError):
    """The bytes are no message."""


class Message:
    """The fields of one message. What a field means, and so how its bytes are read, is for the caller to know."""

    def __init__(self, data: bytes) -> None:
        """Read the fields. Raises BadMessage."""
        self._fields: defaultdict[int, list[Value]] = defaultdict(list)
        for number, value in _fields(data):
            self._fields[number].append(value)

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    def messages(self, number: int) -> Iterator[Message]:
        """Yield the messages in a field. Raises BadMessage."""
        for value in self._fields.get(number, ()):
            yield Message(_bytes(value))

    def message(self, number: int) -> Message:
        """Return the message in a field, an empty one if it is not there. Raises BadMessage."""
        return next(self.messages(number), Message(b""))

    def bytes(self, number: int) -> bytes:
        """Return a field's last bytes, none if it is not there. Raises BadMessage."""
        return _bytes(self._fields[number][-1]) if number in self._fields else b""

    def text(self, number: int) -> str:
        """Return a field's text, empty if it is not there. Raises BadMessage."""
        try:
            return self.bytes(number).decode()
        except UnicodeDecodeError:
            raise BadMessage("a text is not UTF-8") from None

    def integer(self, number: int) -> int:
        """Return a field's number, as sent; 0 if it is not there. Raises BadMessage."""
        value = self._fields[number][-1] if number in self._fields else 0
        if not isinstance(value, int):
            raise BadMessage(f"the field {number} is no number")
        return value

    def signed(self, number: int) -> int:
        """Return a field's number in 64 bits with a sign. Raises BadMessage."""
        value = self.integer(number)
        return value - (1 << 64) if value >= 1 << 63 else value

    def double(self, number: int) -> float:
        """Return a field's floating point number. Raises BadMessage."""
        found: float = struct.unpack("<d", self.integer(number).to_bytes(8, "little"))[0]
        return found


def _bytes(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise BadMessage("a field has a number where a message or a text is expected")
    return value


def _fields(data: bytes) -> Iterator[tuple[int, Value]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == BYTES:
            width, at = _varint(data, at)
        elif kind in WIDTHS:
            width = WIDTHS[kind]
        else:
            raise BadMessage(f"the field {number} has the unknown type {kind}")
        if at + width > len(data):
            raise BadMessage(f"the field {number} is cut off")
        part = data[at : at + width]
        at += width
        yield number, part if kind == BYTES else int.from_bytes(part, "little")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(data[at : at + LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & ((1 << 64) - 1), at + index + 1
    raise BadMessage("a number is cut off")
