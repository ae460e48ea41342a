"""Follows a bundle's pointer in a thread, and fetches each version that becomes current.

The DAG processor's only loop serves all bundles: it takes what this thread has ready, and never waits for the bucket.
"""

from __future__ import annotations

import logging
import threading
import time

from dag_bundles.store import CannotHold, Held, VersionStore
from fleet.dag_versions.bucket import BundleBucket, Missing, Unavailable
from fleet.dag_versions.pointer import BadPointer

log = logging.getLogger(__name__)

POLL_S = 1.0
FETCH_WITHIN_S = 60.0


class Follower:
    """`is_empty`: the bucket has answered that nothing was ever uploaded. `poll_s`: between two polls."""

    def __init__(self, bucket: BundleBucket, store: VersionStore, *, bundle: str, poll_s: float = POLL_S) -> None:
        self.is_empty = False
        self._bucket, self._store, self._bundle, self._poll_s = bucket, store, bundle, poll_s
        self._etag: str | None = None
        self._version = ""
        self._ready: Held | None = None
        self._handover = threading.Lock()
        self._trouble = ""
        self._polled = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"bundle {bundle}", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait for the first poll that succeeds, or fails; return whether it has ended."""
        return self._polled.wait(seconds)

    def take(self) -> Held | None:
        """Return the newest version that lies on the disk whole, for the caller to release; None if it was taken."""
        with self._handover:
            ready, self._ready = self._ready, None
        return ready

    @property
    def trouble(self) -> str:
        """Why the bundle cannot be followed at present; empty while it can."""
        return self._trouble

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._poll()
            except (Unavailable, BadPointer, CannotHold) as error:
                self._note(str(error))
            except Exception as error:  # the thread must go on
                log.exception("bundle %s: a poll failed", self._bundle)
                self._note(repr(error))
            else:
                self._note("")
            self._polled.set()
            self._closing.wait(self._poll_s)

    def _poll(self) -> None:
        try:
            read = self._bucket.pointer(unless=self._etag)
        except Missing:
            if self._version:
                raise Unavailable("its pointer was removed from the bucket: the last version stays") from None
            self.is_empty = True
            return
        if read is None:
            return
        current = read.pointer.current
        if current is None:
            raise BadPointer("the pointer names no version")
        if current.version != self._version:
            held = self._store.hold(current.version, self._bucket, until=time.monotonic() + FETCH_WITHIN_S)
            with self._handover:
                passed_over, self._ready = self._ready, held
            if passed_over is not None:
                passed_over.release()
            self._version = current.version
        self._etag = read.etag  # only now: a version that could not be fetched is tried again
        self.is_empty = False

    def _note(self, trouble: str) -> None:
        """Log a trouble when it begins, changes or ends."""
        if trouble != self._trouble:
            log.warning("bundle %s: %s", self._bundle, trouble or "follows the bucket again")
        self._trouble = trouble
