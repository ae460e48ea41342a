"""Ends this process when the one that started it is gone, even if that was killed."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
CHECK_S = 0.5


def watch(parent: int, gone: Callable[[], None]) -> None:
    """Calls `gone` soon after the process `parent`, which started this one, has ended.

    The kernel's signal is the quick way, but it follows the parent's *thread* and exists on Linux only; therefore the
    parent's id is looked at, too, which also covers a parent that ended before this call.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    stopped = threading.Event()

    def look() -> None:
        while os.getppid() == parent:
            stopped.wait(CHECK_S)
        gone()

    threading.Thread(target=look, daemon=True, name="parent").start()
