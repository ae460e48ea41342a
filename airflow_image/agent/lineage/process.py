"""The process beside a worker that sends lineage: the worker starts it, and lets it send once more at its end."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from agent.lineage.folder import folder_of
from agent.lineage.sender import Connection, Sender
from agent.lineage.settings import HEADERS, NAMESPACE, URL, receiver_of
from agent.variables import SHARED_FOLDER

TICK_EVERY_S = 0.5
# For what waits when the worker ends; ECS stops the container 120 s after it was told to, of which tasks have 90.
LAST_S, END_WITHIN_S = 5.0, 8.0
# Of the worker's environment, which has passwords of the broker.
NEEDED = ("PATH", "PYTHONPATH", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", SHARED_FOLDER, NAMESPACE, URL, HEADERS)
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Beside:
    """The process beside this one; none without a receiver."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {name: environment[name] for name in NEEDED if name in environment}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **_: Any) -> None:
        """Start it, if there is a receiver. Raises OSError."""
        if self._environment.get(URL):
            argv = ["nice", "-n", "10", sys.executable, "-m", "agent.lineage"]
            self._process = subprocess.Popen(argv, env=self._environment, stdin=subprocess.DEVNULL)

    def end(self) -> None:
        """Let it send what waits, for END_WITHIN_S at most."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main() -> None:
    """Send until a signal asks to stop, or until the worker, which started this process, has ended."""
    parent = os.getppid()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # they wait for sigtimedwait
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    sender = Sender(folder_of(os.environ), Connection(receiver_of(os.environ)), namespace=os.environ[NAMESPACE])

    def is_to_end() -> bool:
        return os.getppid() != parent or bool(signal.sigpending() & set(STOP_SIGNALS))

    while True:
        sender.tick(now=time.monotonic(), is_to_end=is_to_end)
        if is_to_end() or signal.sigtimedwait(STOP_SIGNALS, TICK_EVERY_S) is not None:
            break
    sender.end(within_s=LAST_S)
