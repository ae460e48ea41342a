"""Lets production code stop at its seams: where it waits for Redis, for ECS or for another thread.

Code that runs in an Actor waits at each seam until it is resumed, so that anything may happen meanwhile; exactly one
thread runs at a time, which keeps every run repeatable. Code that runs without an Actor passes through.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum


class Fault(Enum):
    """What becomes of the call at a seam."""

    NONE = "none"
    FAILS = "fails"  # it has no effect, and the caller is told so, or told nothing
    LOST = "lost"  # it takes effect, and the answer is lost
    LATE = "late"  # the caller gives up, and it takes effect later


class Abandoned(BaseException):
    """The process that ran the code is gone; nothing may catch this."""


class Actor:
    """One run of `code`, in a thread of its own, from seam to seam."""

    def __init__(self, seams: Seams, code: Callable[[], object], *, now: float) -> None:
        self.place = ""
        self.since = now
        self.done = False
        self._seams, self._code = seams, code
        self._fault = Fault.NONE
        self._gone = False
        self._error: Exception | None = None
        self._mine, self._theirs = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._theirs.acquire()

    def resume(self, fault: Fault = Fault.NONE) -> None:
        """Goes on to the next seam, or to the end. Raises what the code raised."""
        if not self.done:
            self._fault = fault
            self._mine.release()
            self._theirs.acquire()
        if self.done:
            self._thread.join()
            if self._error is not None:
                raise self._error

    def finish(self) -> None:
        """Run to the end."""
        while not self.done:
            self.resume()

    def abandon(self) -> None:
        """End it where it stands."""
        self._gone = True
        while not self.done:
            self.resume()

    def wait(self, place: str) -> Fault:
        """Hand over to the model; the code under test calls this."""
        if self._gone:
            raise Abandoned
        self.place = place
        self._theirs.release()
        self._mine.acquire()
        if self._gone:
            raise Abandoned
        return self._fault

    def _run(self) -> None:
        self._seams.here.actor = self
        try:
            self.wait("start")
            self._code()
        except Abandoned:
            pass
        except Exception as error:  # noqa: BLE001 - raised again by `resume`, in the test's thread
            self._error = error
        self.done = True
        self._theirs.release()


class Seams:
    """Where the code calls; knows which actor runs in the present thread."""

    def __init__(self) -> None:
        self.here = threading.local()

    @property
    def pausing(self) -> bool:
        return getattr(self.here, "actor", None) is not None

    def pause(self, place: str) -> Fault:
        actor: Actor | None = getattr(self.here, "actor", None)
        return Fault.NONE if actor is None else actor.wait(place)
