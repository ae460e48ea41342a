"""Joins the memory of the runner's first process into huge pages: its forks cost less than half.

A fork copies an entry of the page table for each page of 4 KiB, and its end frees each entry. A huge page has one entry
for 2 MiB. What a fork writes to, the kernel copies in pages of 4 KiB as before.
"""

from __future__ import annotations

import ctypes
import logging
import time
from pathlib import Path

from agent.runner.container_memory import MIB

log = logging.getLogger(__name__)

MADV_COLLAPSE = 25  # from <linux/mman.h>; since Linux 6.1
HUGE = 2 * MIB
MAPS = Path("/proc/self/maps")


def join() -> int:
    """Join all that can be; return the bytes. None can where the kernel is older, or grants no huge pages."""
    began, joined = time.monotonic(), 0
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for start, end in own(MAPS.read_text()):
        first, last = -(-start // HUGE) * HUGE, end // HUGE * HUGE
        if first < last and not libc.madvise(first, last - first, MADV_COLLAPSE):
            joined += last - first
    log.info("runner: %d MiB are in huge pages after %.2f s", joined // MIB, time.monotonic() - began)
    return joined


def own(maps: str) -> list[tuple[int, int]]:
    """Return where memory is mapped that is written to, and no file's: the heap, and what has no name."""
    found = []
    for line in maps.splitlines():
        addresses, access, _, _, _, *name = line.split(None, 5)
        if access == "rw-p" and (not name or name[0] == "[heap]"):
            start, _, end = addresses.partition("-")
            found.append((int(start, 16), int(end, 16)))
    return found
