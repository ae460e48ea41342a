"""Ends the stack with one line when it cannot go on, as when a thread or the AWS API has died."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType

from project import paths
from project.errors import CommandError

log = logging.getLogger(__name__)

SIGNAL = signal.SIGUSR1


class StackFailedError(BaseException):
    """Interrupts the main thread. No `except Exception` of the code under way catches it, as with KeyboardInterrupt."""


class Failure:
    """Holds the first reason why the stack cannot go on, from whichever thread it comes.

    As a context manager it receives the exceptions that end threads; at its end it raises CommandError with the reason.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._lock = threading.Lock()
        self._interrupts = False
        self._previous_hook = threading.excepthook

    def report(self, reason: str) -> None:
        """Note the reason, and interrupt the main thread if the stack is in use. Any thread may call this."""
        log.error("%s", reason)
        with self._lock:
            self.reason = self.reason or reason
            if self._interrupts:
                signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """Let a failure interrupt the block, which the main thread executes; what cleans up after it is left alone."""
        signal.signal(SIGNAL, self._interrupt)
        with self._lock:
            self._interrupts = True
        try:
            yield
        finally:
            with self._lock:
                self._interrupts = False

    def __enter__(self) -> Failure:
        self._previous_hook = threading.excepthook
        threading.excepthook = self._thread_died
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        threading.excepthook = self._previous_hook
        # Another error may be a consequence that was noticed first.
        if self.reason and (kind is None or issubclass(kind, StackFailedError | Exception)):
            raise CommandError(self.reason) from error

    def _thread_died(self, args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread else "unknown"
        details = (args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)
        log.error("the exception of thread %s", name, exc_info=details)
        text = " ".join(str(args.exc_value).split())
        if not issubclass(args.exc_type, CommandError):
            text = f"{args.exc_type.__name__}: {text}"
        self.report(f"thread {name!r} of the stack died: {text}; see {paths.STATE / 'local.log'}")

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self._interrupts:
            self._interrupts = False
            raise StackFailedError(self.reason)
