"""A private index of Python packages on this machine, which asks for a password."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME, VERSION = "greeting", "1.0"
WHEEL = f"{NAME}-{VERSION}-py3-none-any.whl"
USER, PASSWORD = "reader", "sesam-0ffne-dich"
_DIST_INFO = f"{NAME}-{VERSION}.dist-info"
_FILES = {
    f"{NAME}.py": "def to(name):\n    return f'greetings to {name}'\n",
    f"{_DIST_INFO}/METADATA": f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\n",
    f"{_DIST_INFO}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}


@dataclass(frozen=True, kw_only=True)
class PackageIndex:
    """`requests` has the path of each request that gave the password; `refused` counts the others."""

    address: str
    requests: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The URL without the password."""
        return f"http://{self.address}/simple"

    @property
    def url_with_password(self) -> str:
        return f"http://{USER}:{PASSWORD}@{self.address}/simple"


def wheel() -> bytes:
    """Return a package with one module."""
    record = f"{_DIST_INFO}/RECORD"
    lines = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}"
        for name, text in _FILES.items()
    ]
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, text in {**_FILES, record: "\n".join([*lines, f"{record},,", ""])}.items():
            archive.writestr(zipfile.ZipInfo(name), text)  # the same bytes each time
    return written.getvalue()


def pages() -> Mapping[str, bytes]:
    """Return what the index serves, by path."""
    digest = hashlib.sha256(wheel()).hexdigest()
    link = f'<a href="/files/{WHEEL}#sha256={digest}">{WHEEL}</a>'
    return {f"/simple/{NAME}/": link.encode(), f"/files/{WHEEL}": wheel()}


@contextlib.contextmanager
def package_index() -> Iterator[PackageIndex]:
    """Serve one package to those who know the password."""
    known = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    served = pages()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers["Authorization"] != known:
                index.refused.append(self.path)
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="index"')
                self.end_headers()
                return
            index.requests.append(self.path)
            content = served.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/octet-stream")
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        index = PackageIndex(address="{}:{}".format(*server.server_address))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield index
        finally:
            server.shutdown()
