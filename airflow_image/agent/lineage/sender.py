"""Sends the documents that tasks have left to the receiver, one after the other, oldest first.

It distrusts them: any task can write to the folder. A document is sent only if it is one of this environment's jobs.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import os
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent.lineage.folder import Documents, opened
from agent.lineage.settings import Receiver
from telemetry.undelivered import FIELD, write_line

log = logging.getLogger(__name__)

SIGNAL = "lineage"
TIMEOUT_S = 10.0  # of each step of a request
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
MOST_ANSWER_BYTES = 64 * 1024
# Of an answer that another attempt may change; what else is refused will always be.
AGAIN = frozenset({408, 425, 429})
# A key that is wrong may be put right, so nothing is dropped for it.
KEY_REFUSED = frozenset({401, 403})
NO_DOCUMENT = "no document of this environment"
TOO_MANY = "too many waited"
AT_THE_END = "the worker ended"
NOT_WHOLE = "a task ended while it wrote"


class NotDelivered(Exception):
    """The receiver has not taken a document; the message says why, and holds nothing of it, nor of the key."""


class Refused(NotDelivered):
    """It never will."""


class Connection:
    """A connection to the receiver, which is kept as long as both sides keep it."""

    def __init__(self, receiver: Receiver, *, timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(receiver.url)
        self._host, self._port, self._path = str(parts.hostname), parts.port, parts.path
        self._headers = {**receiver.headers, "Content-Type": "application/json"}
        self._context = ssl.create_default_context() if parts.scheme == "https" else None
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None

    def post(self, document: bytes) -> None:
        """Send a document. Raises NotDelivered. A redirect is not followed: the key is for this receiver."""
        status, reason = self._ask(document)
        if 200 <= status < 300:
            return
        why = f"{status} {reason}"
        if 400 <= status < 500 and status not in AGAIN | KEY_REFUSED:
            raise Refused(why)
        raise NotDelivered(why)

    def hasten(self, timeout_s: float) -> None:
        """Let each step of what follows take this long."""
        self._timeout_s = timeout_s
        self.close()

    def close(self) -> None:
        """Close it; the next document opens another."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _ask(self, document: bytes) -> tuple[int, str]:
        is_kept = self._connection is not None
        try:
            return self._once(document)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            # Between two documents the receiver may have closed it.
            if not is_kept or isinstance(error, TimeoutError):
                raise NotDelivered(type(error).__name__) from None
        try:
            return self._once(document)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise NotDelivered(type(error).__name__) from None

    def _once(self, document: bytes) -> tuple[int, str]:
        if self._connection is None:
            self._connection = self._open()
        self._connection.request("POST", self._path, body=document, headers=self._headers)
        answer = self._connection.getresponse()
        if len(answer.read(MOST_ANSWER_BYTES)) == MOST_ANSWER_BYTES or answer.will_close:
            self.close()
        return answer.status, http.client.responses.get(answer.status, "")

    def _open(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=self._context)


class Sender:
    """Empties the folder. `tick` and `end` raise no error of the folder or the receiver."""

    def __init__(
        self, folder: Path, connection: Connection, *, namespace: str, write: Callable[[str], None] = write_line
    ) -> None:
        """`namespace`: of this environment's jobs. `write` takes a line for each failure."""
        self._folder, self._connection, self._namespace, self._write = folder, connection, namespace, write
        self._pause_s, self._due = FIRST_PAUSE_S, 0.0
        self._stuck: set[str] = set()  # what cannot be removed is told once
        self._is_readable = True
        self.sent = 0

    def tick(self, *, now: float, is_to_end: Callable[[], bool] = lambda: False) -> None:
        """Send what waits, unless the receiver has failed a moment ago (`now`: seconds)."""
        try:
            with opened(self._folder) as documents:
                self._drop(documents, documents.abandoned(now=time.time()), why=NOT_WHOLE)
                names = documents.waiting()
                many = documents.beyond(names)
                self._drop(documents, names[:many], why=TOO_MANY)
                if now >= self._due:
                    self._send(documents, names[many:], now=now, is_to_end=is_to_end)
            self._is_readable = True
        except OSError as error:
            if self._is_readable:
                log.warning("lineage is not sent: its folder cannot be read: %s", type(error).__name__)
            self._is_readable = False

    def end(self, *, within_s: float) -> None:
        """Send once more what waits; what is not taken within this time is lost, and counted."""
        ends = time.monotonic() + within_s
        self._connection.hasten(within_s / 2)
        with contextlib.suppress(OSError), opened(self._folder) as documents:
            self._send(documents, documents.waiting(), now=0.0, is_to_end=lambda: time.monotonic() >= ends)
            self._drop(documents, documents.waiting(), why=AT_THE_END)
        self._connection.close()

    def _send(self, documents: Documents, names: Sequence[str], *, now: float, is_to_end: Callable[[], bool]) -> None:
        for name in names:
            if is_to_end():
                return
            if name in self._stuck:
                continue
            document = documents.take(name)
            if document is None or not is_of(document, self._namespace):
                self._drop(documents, [name], why=NO_DOCUMENT)
                continue
            try:
                self._connection.post(document)
            except Refused as error:
                self._drop(documents, [name], why=str(error))
                continue
            except NotDelivered as error:
                self._note(1, why=str(error))
                self._due = now + self._pause_s
                self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
                return
            self._remove(documents, name)
            self.sent += 1
            self._pause_s = FIRST_PAUSE_S

    def _drop(self, documents: Documents, names: Iterable[str], *, why: str) -> None:
        dropped = [name for name in names if name not in self._stuck]
        for name in dropped:
            self._remove(documents, name)
        if dropped:
            self._note(len(dropped), why=why)

    def _remove(self, documents: Documents, name: str) -> None:
        try:
            documents.drop(name)
        except OSError:
            self._stuck.add(name)

    def _note(self, count: int, *, why: str) -> None:
        self._write(json.dumps({FIELD: count, "signal": SIGNAL, "why": why, "process": os.getpid()}))


def is_of(document: bytes, namespace: str) -> bool:
    """Return whether it is a document of a run of a job in this namespace."""
    try:
        found: Any = json.loads(document)
    except (ValueError, RecursionError):
        return False
    if not isinstance(found, dict) or not isinstance(found.get("run"), dict):
        return False
    job = found.get("job")
    return isinstance(job, dict) and job.get("namespace") == namespace and isinstance(job.get("name"), str)
