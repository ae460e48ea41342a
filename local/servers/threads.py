"""Reports the exceptions of threads that go on: of an HTTP request, of a relayed connection."""

import contextlib
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from local.servers.ports import HOST


def report_exception(error: BaseException) -> None:
    """Report an exception that the current thread survives as one that ends a thread, to `threading.excepthook`."""
    thread = threading.current_thread()
    threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, thread)))


class HttpServer(ThreadingHTTPServer):
    """An HTTP server on a free port of 127.0.0.1, in threads of its own, until `close()`."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler], *, name: str) -> None:
        super().__init__((HOST, 0), handler)
        self._thread = threading.Thread(target=self.serve_forever, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        # Wakes the thread, which would otherwise take up to half a second to notice. It may be closed already.
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.shutdown()
        self.server_close()
        self._thread.join()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's signature
        """Report what a handler raised, unless the client left: a container may be killed at any moment."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):
            report_exception(error)
