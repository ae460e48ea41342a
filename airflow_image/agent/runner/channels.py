"""The connections between a supervisor and its task, by the names that Airflow gives them."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class Channels:
    """One end each of the four connections."""

    NAMES: ClassVar[tuple[str, ...]] = ("stdout", "stderr", "requests", "logs")

    stdout: socket.socket
    stderr: socket.socket
    requests: socket.socket
    logs: socket.socket

    @classmethod
    def pairs(cls) -> tuple[Channels, Channels]:
        """Return the supervisor's ends and the task's. Raises OSError."""
        ours, theirs = zip(*(socket.socketpair() for _ in cls.NAMES), strict=True)
        return cls._of(ours), cls._of(theirs)

    @classmethod
    def of(cls, descriptors: Sequence[int]) -> Channels:
        """Return the ends with these descriptors, in the order of `descriptors`."""
        return cls._of([socket.socket(fileno=each) for each in descriptors])

    @classmethod
    def _of(cls, sockets: Sequence[socket.socket]) -> Channels:
        return cls(**dict(zip(cls.NAMES, sockets, strict=True)))

    def descriptors(self) -> list[int]:
        """Return the descriptor of each, in the order of `NAMES`."""
        return [getattr(self, name).fileno() for name in self.NAMES]

    def close(self) -> None:
        """Close all of them."""
        for name in self.NAMES:
            getattr(self, name).close()
