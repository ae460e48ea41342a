"""Runs the embedded AWS API in a process of its own."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator

from local.aws.backend.settings import BROKER_ADMINISTRATOR
from local.servers.ports import reserve
from local.servers.process import spawn, stop
from local.stack.sam import SETTLE_LIMIT_S
from project import paths
from project.errors import CommandError
from project.waiting import wait_until

START_TIMEOUT_S = 30


@contextlib.contextmanager
def aws_api(
    *,
    database: str,
    broker: str,
    broker_administrator: str,
    on_failure: Callable[[str], None],
    service_limit_s: float = SETTLE_LIMIT_S,
) -> Iterator[str]:
    """Serve the AWS API until the block ends; yield its address.

    It answers with `database` and `broker` (HOST:PORT) as the addresses of RDS and ElastiCache, and gives the broker
    its users as `broker_administrator` (a URL). CloudFormation waits up to `service_limit_s` for a service to settle;
    while no ECS task has run, as in a first deployment, it does not wait. When the process ends before the block, a
    thread calls `on_failure` with the reason. Raises CommandError when the API does not start.
    """
    port = reserve()
    log_path = paths.LOGS / "aws-api.log"
    argv = [sys.executable, "-m", "local.aws", "--port", str(port.number)]
    argv += ["--database", database, "--broker", broker, "--service-limit-s", f"{service_limit_s:g}"]
    argv += ["--mail", str(paths.MAIL)]
    env = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONUNBUFFERED": "1"}
    env |= {"HOME": str(paths.STATE), "TMPDIR": str(paths.TEMPORARY), BROKER_ADMINISTRATOR: broker_administrator}
    process = spawn(argv, env=env, cwd=paths.ROOT, log_path=log_path)
    closing = threading.Event()

    def is_serving() -> bool:
        if process.poll() is not None:
            raise CommandError(f"the AWS API did not start; see {log_path}")
        return "ready" in log_path.read_text(errors="replace")

    def watch() -> None:
        code = process.wait()
        if not closing.is_set():
            on_failure(f"the AWS API of the stack ended with exit code {code}; see {log_path}")

    try:
        wait_until(is_serving, what="start of the AWS API", timeout_s=START_TIMEOUT_S)
        threading.Thread(target=watch, name="aws api", daemon=True).start()
        # Not 127.0.0.1: SAM CLI would take its first part for a bucket's name.
        yield f"http://localhost:{port.number}"
    finally:
        closing.set()
        stop(process)
        port.release()
