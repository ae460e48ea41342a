"""The command of the embedded AWS API: `python -m local.aws --port P --database H:P --broker H:P`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from local.aws.backend.settings import BROKER_ADMINISTRATOR, SERVICE_LIMIT_S, Address, Settings


def _address(text: str) -> Address:
    try:
        return Address.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _arguments(argv: Sequence[str] | None) -> Settings:
    parser = argparse.ArgumentParser(prog="python -m local.aws", description="The AWS API of the local stack.")
    parser.add_argument("--port", type=int, required=True, help="port of 127.0.0.1 to listen on")
    parser.add_argument("--database", type=_address, required=True, help="HOST:PORT of the RDS instance")
    parser.add_argument("--broker", type=_address, required=True, help="HOST:PORT of the ElastiCache group")
    parser.add_argument("--mail", type=Path, help="folder for the mails that SES accepts; without it none is kept")
    parser.add_argument(
        "--service-limit-s",
        type=float,
        default=SERVICE_LIMIT_S,
        help="seconds for a service to become stable, 0 for no wait",
    )
    given = parser.parse_args(argv)
    return Settings(
        port=given.port,
        database=given.database,
        broker=given.broker,
        service_limit_s=given.service_limit_s,
        mail=given.mail,
        # Not an argument: every user of the machine can read a command line.
        broker_administrator=os.environ.pop(BROKER_ADMINISTRATOR, None),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal."""
    settings = _arguments(argv)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    # Imported here: it takes a second, during which signals must already work.
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


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Freeing moto's objects one by one takes two seconds, and nothing outlives the process anyway.
    os._exit(code)
