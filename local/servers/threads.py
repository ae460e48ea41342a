"""Threads that serve others: an exception of one request or connection is reported like one that ends a thread."""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from local.servers.ports import HOST


def report_exception(error: BaseException) -> None:
    """Give an exception that the current thread survives to `threading.excepthook`, which the running stack sets."""
    thread = threading.current_thread()
    threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, thread)))


class HttpServer(ThreadingHTTPServer):
    """Serves HTTP on a free port of this machine, in threads of its own, until `close()`."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler], *, name: str) -> None:
        super().__init__((HOST, 0), handler)
        self._thread = threading.Thread(target=self.serve_forever, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self.shutdown()
        self.server_close()
        self._thread.join()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's signature
        """Report what a handler raised, except for a client that left: a container may be killed at any moment."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):
            report_exception(error)
