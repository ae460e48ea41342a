"""The command of the embedded AWS API: `python -m local.aws --port P --database H:P --broker H:P`."""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence

from local.aws.backend.settings import DEFAULT_ACCOUNT, Address, Settings

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
CHECK_S = 0.5


def _address(text: str) -> Address:
    try:
        return Address.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _account(text: str) -> str:
    if not re.fullmatch(r"\d{12}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not an account number of 12 digits")
    return text


def _arguments(argv: Sequence[str] | None) -> tuple[Settings, bool]:
    parser = argparse.ArgumentParser(prog="python -m local.aws", description="The AWS API of the local stack.")
    parser.add_argument("--port", type=int, required=True, help="port of 127.0.0.1 to listen on")
    parser.add_argument("--database", type=_address, required=True, help="HOST:PORT of the RDS instance")
    parser.add_argument("--broker", type=_address, required=True, help="HOST:PORT of the ElastiCache group")
    parser.add_argument("--account", type=_account, default=DEFAULT_ACCOUNT, help="account number")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when the process that started this ends")
    given = parser.parse_args(argv)
    settings = Settings(port=given.port, database=given.database, broker=given.broker, account=given.account)
    return settings, given.exit_with_parent


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal, or until the parent ends if that was asked for."""
    parent = os.getppid()
    settings, exit_with_parent = _arguments(argv)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if exit_with_parent:
        _on_end_of(parent, stop.set)
    # Imported here: it takes a second, during which signals and the parent's end must already work.
    from local.aws.server import Server

    try:
        server = Server(settings)
    except OSError as error:
        print(f"local.aws: cannot listen on port {settings.port}: {os.strerror(error.errno or 0)}", file=sys.stderr)
        return 1
    server.start()
    print("ready", flush=True)
    stop.wait()
    server.stop()
    return 0


def _on_end_of(parent: int, end: Callable[[], None]) -> None:
    """Call `end` soon after the process `parent`, which started this one, has ended.

    The kernel's signal is quick, but it follows the parent's *thread* and exists on Linux only. The parent's id is
    therefore checked, too, which also covers a parent that ended before this call.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(CHECK_S)
        end()

    threading.Thread(target=wait, daemon=True, name="parent").start()


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Freeing moto's objects one by one takes two seconds, and nothing outlives the process anyway.
    os._exit(code)
