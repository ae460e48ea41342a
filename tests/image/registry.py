"""A registry of images on 127.0.0.1, as far as a push needs it (OCI distribution specification)."""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOB = re.compile(r"/v2/[a-z0-9./_-]+/blobs/(?P<digest>sha256:[0-9a-f]{64})")
UPLOAD = re.compile(r"/v2/[a-z0-9./_-]+/blobs/uploads/(?P<session>[^?]*)(\?digest=(?P<digest>.+))?")
MANIFEST = re.compile(r"/v2/[a-z0-9./_-]+/manifests/(?P<reference>[^/]+)")


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


class PushedImages:
    """What was pushed: blobs by digest, manifests by tag and by digest."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.uploads: dict[str, bytes] = {}
        self.address = ""


@contextlib.contextmanager
def serve_registry() -> Iterator[PushedImages]:
    """Run the registry, empty at first; `address` is host:port."""
    pushed = PushedImages()

    class Handler(_Handler):
        images = pushed

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pushed.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield pushed
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    images: PushedImages
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/v2/":
            self._answer(HTTPStatus.OK)
        elif known := self._known():
            self._answer(HTTPStatus.OK, known)
        else:
            self._answer(HTTPStatus.NOT_FOUND)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        session = secrets.token_hex(8)
        self.images.uploads[session] = b""
        self._answer(HTTPStatus.ACCEPTED, Location=f"{self.path.rstrip('/')}/{session}")

    def do_PATCH(self) -> None:
        session = self._upload()["session"]
        self.images.uploads[session] += self._body()
        self._answer(
            HTTPStatus.ACCEPTED, Location=self.path, Range=f"0-{max(0, len(self.images.uploads[session]) - 1)}"
        )

    def do_PUT(self) -> None:
        body = self._body()
        if manifest := MANIFEST.fullmatch(self.path):
            digest = digest_of(body)
            self.images.manifests |= {manifest["reference"]: body, digest: body}
        else:
            upload = self._upload()
            content = self.images.uploads.pop(upload["session"]) + body
            digest = upload["digest"].replace("%3A", ":")
            if digest_of(content) != digest:
                self._answer(HTTPStatus.BAD_REQUEST)
                return
            self.images.blobs[digest] = content
        self._answer(HTTPStatus.CREATED, b"", **{"Docker-Content-Digest": digest})

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def _known(self) -> bytes | None:
        if blob := BLOB.fullmatch(self.path):
            return self.images.blobs.get(blob["digest"])
        manifest = MANIFEST.fullmatch(self.path)
        return manifest and self.images.manifests.get(manifest["reference"])

    def _upload(self) -> re.Match[str]:
        found = UPLOAD.fullmatch(self.path)
        assert found, self.path
        return found

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, status: HTTPStatus, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if content:
            self.send_header("Docker-Content-Digest", digest_of(content))
            if MANIFEST.fullmatch(self.path):
                self.send_header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
