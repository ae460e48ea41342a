"""The pointer of a bundle: the version that is current, and those that were current before it.

It is one object of the bucket. S3 replaces an object whole, and only if it is still the one that was read: so a version
becomes current at once or not at all, and of two uploads at the same time one is refused.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fleet.dag_versions.manifest import is_version
from fleet.validation import is_time

FORMAT = 1
MAX_ENTRIES = 200


class BadPointer(ValueError):
    """The bytes are no pointer. The message is one line."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A version that became current `at`, in seconds since the epoch by the uploader's clock, with so many files."""

    version: str
    at: float
    files: int


@dataclass(frozen=True, kw_only=True)
class Pointer:
    """`entries`: the newest first, of which the first is current; a version that came back is there twice.

    `cleaning_until`: seconds since the epoch, until which old versions may be being removed; 0 if none are.
    """

    entries: tuple[Entry, ...] = ()
    cleaning_until: float = 0.0

    @property
    def current(self) -> Entry | None:
        return self.entries[0] if self.entries else None

    def moved_to(self, entry: Entry) -> Pointer:
        """Return the pointer with `entry` as the current one; the oldest entries are dropped."""
        return Pointer(entries=(entry, *self.entries)[:MAX_ENTRIES])

    def kept(self, count: int, in_use: Iterable[str], *, since: float) -> frozenset[str]:
        """Return the last `count` versions that were current, those in use, and those that were current after `since`.

        `since`: seconds since the epoch. A run may have begun with such a version that no report has yet.
        """
        latest = dict.fromkeys(each.version for each in self.entries)
        replaced = [each.version for each, by in zip(self.entries[1:], self.entries, strict=False) if by.at > since]
        return frozenset((*itertools.islice(latest, count), *in_use, *replaced))

    def to_bytes(self) -> bytes:
        entries = [{"version": each.version, "at": each.at, "files": each.files} for each in self.entries]
        record = {"format": FORMAT, "entries": entries, "cleaning_until": self.cleaning_until}
        return json.dumps(record, separators=(",", ":")).encode()


def parse_pointer(raw: bytes) -> Pointer:
    """Return the pointer that was stored. Raises BadPointer."""
    try:
        record = json.loads(raw)
        if record["format"] != FORMAT:
            raise BadPointer(f"the pointer has the format {record['format']!r}, not {FORMAT}")
        entries = tuple(map(_entry, record["entries"]))
        until = record["cleaning_until"]
    except (ValueError, TypeError, KeyError) as error:
        if isinstance(error, BadPointer):
            raise
        raise BadPointer(f"the pointer cannot be read: {error!r}") from None
    if not is_time(until):
        raise BadPointer(f"the pointer's cleaning_until is {until!r}")
    return Pointer(entries=entries, cleaning_until=float(until))


def _entry(record: dict[str, Any]) -> Entry:
    version, at, files = record["version"], record["at"], record["files"]
    if not (isinstance(version, str) and is_version(version) and is_time(at) and type(files) is int):
        raise ValueError(f"an entry is {record!r}")
    return Entry(version=version, at=float(at), files=files)
