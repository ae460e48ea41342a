"""Stops a file at a call that must not happen while it is read: network, database, secrets, an end of the process."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

from dag_check import questions
from dag_check.places import Places

NETWORK = frozenset({"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg"})
DATABASES = ("psycopg2", "psycopg", "MySQLdb", "pyodbc", "oracledb")  # they connect without Python's sockets
INTO_TASK = "call it in a task, because the DAG processor reads the file every half a minute"
TEMPLATE = "read it in a task or in a template, such as {{ var.value.NAME }}"
NO_END = "remove it: it ends the process that reads DAG files"

Report = Callable[[str, str, str], NoReturn]  # kind, what was called, advice


def watch(places: Places, report: Report) -> None:
    """Call `report`, which does not return, at the first such call that the file makes. This cannot be undone."""

    def stop(kind: str, what: str, advice: str) -> None:
        if places.here():
            report(kind, f"{what} while the file is imported{places.module_here()}", advice)

    def audit(event: str, args: tuple[Any, ...]) -> None:
        if event in NETWORK:
            # A socket in the file system is none of the network.
            if getattr(args[0], "family", None) != getattr(socket, "AF_UNIX", None):
                stop("network", f"a call to the network ({_address(event, args)})", INTO_TASK)
        elif event in ("sqlite3.connect", "sqlite3.connect/handle"):
            stop("database", "a call to a database", INTO_TASK)
        elif event == "os.exec" or (event in ("os.kill", "os.killpg") and int(args[1])):
            stop("exit", event, NO_END)

    def ask(what: str) -> None:
        stop("database", f"{what} is read", TEMPLATE)

    def end(_code: int = 0) -> NoReturn:
        stop("exit", "os._exit", NO_END)
        leave(_code)

    leave = os._exit
    os._exit = end  # type: ignore[assignment]
    os.abort = lambda: end()
    signal.raise_signal = lambda _number: end()
    questions.listeners.append(ask)
    for name in DATABASES:
        _watch_driver(sys.modules.get(name), name, stop)
    _watch_engines(stop)
    sys.addaudithook(audit)


def _watch_driver(module: ModuleType | None, name: str, stop: Callable[[str, str, str], None]) -> None:
    if module is None:
        return
    connect = module.connect

    def connect_here(*args: Any, **kwargs: Any) -> Any:
        stop("database", f"a call to a database ({name})", INTO_TASK)
        return connect(*args, **kwargs)

    module.connect = connect_here  # type: ignore[attr-defined]


def _watch_engines(stop: Callable[[str, str, str], None]) -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def connect(dialect: Any, *_: Any) -> None:
        stop("database", f"a call to a database ({dialect.name})", INTO_TASK)

    event.listen(Engine, "do_connect", connect)


def _address(event: str, args: tuple[Any, ...]) -> str:
    """Return the name or address that was asked for, without control characters."""
    given = args[0] if event in ("socket.getaddrinfo", "socket.gethostbyname") else args[-1]
    name = given[0] if isinstance(given, tuple) and given else given
    return "".join(c for c in str(name) if c.isprintable())[:100]
