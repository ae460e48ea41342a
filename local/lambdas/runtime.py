"""The warm process of a function: reads one event a line, calls the handler, writes one answer a line.

Run as `python -m local.lambdas.runtime CODE_DIRECTORY HANDLER SOCKET_FD`; what the function prints goes to its log.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
import time
import traceback
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Context:
    """The parts of Lambda's context object that functions use."""

    memory_limit_in_mb = 128

    def __init__(self, timeout_s: float) -> None:
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = "$LATEST"
        self.aws_request_id = str(uuid.uuid4())
        self.invoked_function_arn = os.environ["LOCAL_FUNCTION_ARN"]
        self._deadline = time.monotonic() + timeout_s

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the function's timeout."""
        return max(0, int((self._deadline - time.monotonic()) * 1000))


def answer(handler: Any, event: Any, timeout_s: float) -> dict[str, Any]:
    """Call the handler; an exception becomes Lambda's error answer."""
    try:
        return {"result": handler(event, Context(timeout_s))}
    except Exception as error:  # noqa: BLE001 - what Lambda does with any exception of a handler
        traceback.print_exc()
        return {"errorType": type(error).__name__, "errorMessage": str(error)}


def main() -> None:
    """Serve events until the other end of the socket is closed."""
    code, target, fd = sys.argv[1:4]
    # Only the package itself: a module missing in it must not be found in the checkout.
    sys.path[:] = [code, *(path for path in sys.path if not path.startswith(str(ROOT)) or "site-packages" in path)]
    module, _, name = target.rpartition(".")
    handler = getattr(importlib.import_module(module), name)
    with socket.socket(fileno=int(fd)) as channel, channel.makefile("rw") as lines:
        for line in lines:
            request = json.loads(line)
            lines.write(json.dumps(answer(handler, request["event"], request["timeout_s"]), default=str) + "\n")
            lines.flush()


if __name__ == "__main__":
    main()
