"""The base image's digest comes from its registry, and without one nothing is built."""

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from ops.image.__main__ import main as build_image
from ops.image.base import Reference, main, read_base
from project.errors import CommandError

MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json"}).encode()
DIGEST = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
TOKEN = "a-token"
INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass
class Registry:
    """A registry on this machine that gives tokens to anyone, as the public ones do."""

    address: str = ""
    realm: str = ""
    manifest: bytes = MANIFEST
    said: str = DIGEST
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def registry() -> Iterator[Registry]:
    known = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known.asked.append(self.path)
            address = urlsplit(self.path)
            if address.path == "/token":
                scope = parse_qs(address.query)["scope"]
                given = TOKEN if scope == ["repository:library/python:pull"] else "nothing"
                self._answer(200, json.dumps({"token": given}).encode())
            elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
                challenge = f'Bearer realm="{known.realm}",service="the registry",scope="repository:other:pull"'
                self._answer(401, b"{}", **{"WWW-Authenticate": challenge})
            elif address.path != "/v2/library/python/manifests/3.12" or INDEX not in self.headers["Accept"]:
                self._answer(404, b"{}")
            else:
                self._answer(200, known.manifest, **{"Docker-Content-Digest": known.said})

        def _answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    known.address = f"127.0.0.1:{server.server_port}"
    known.realm = f"http://{known.address}/token"
    yield known
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def dockerfile(tmp_path: Path, registry: Registry) -> Path:
    path = tmp_path / "Dockerfile"
    path.write_text(f"# a comment\nARG BASE={registry.address}/library/python:3.12\n\nFROM ${{BASE}}\n")
    return path


def test_the_present_digest_is_written_behind_the_tag(registry: Registry, dockerfile: Path) -> None:
    pinned = f"{registry.address}/library/python:3.12@{DIGEST}"
    assert main(["--dockerfile", str(dockerfile)]) == 0
    assert dockerfile.read_text() == f"# a comment\nARG BASE={pinned}\n\nFROM ${{BASE}}\n"
    registry.manifest = MANIFEST + b"\n"
    registry.said = f"sha256:{hashlib.sha256(registry.manifest).hexdigest()}"
    assert main(["--dockerfile", str(dockerfile)]) == 0  # again, after the tag was moved
    assert read_base(dockerfile) == f"{registry.address}/library/python:3.12@{registry.said}"


def test_a_manifest_that_is_not_what_the_registry_says_changes_nothing(
    registry: Registry, dockerfile: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.said = "sha256:" + "0" * 64
    before = dockerfile.read_text()
    assert main(["--dockerfile", str(dockerfile)]) == 1
    assert (dockerfile.read_text(), "but its registry says" in capsys.readouterr().err) == (before, True)


@pytest.mark.parametrize("realm", ["http://registry.example/token", "file:///etc/passwd", "no address"])
def test_a_token_is_not_asked_for_in_the_clear(
    registry: Registry, dockerfile: Path, realm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.realm = realm
    assert main(["--dockerfile", str(dockerfile)]) == 1
    assert "did not give the manifest" in capsys.readouterr().err
    assert registry.asked == ["/v2/library/python/manifests/3.12"]


def test_a_tag_that_is_not_there_is_one_line(
    registry: Registry, dockerfile: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--dockerfile", str(dockerfile), "--base", f"{registry.address}/library/python:9.9"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"image: the registry did not give the manifest of {registry.address}/library/python:9.9 (HTTP 404)"
    ]


def test_the_projects_base_is_a_tag_that_can_be_renewed() -> None:
    found = Reference.parse(read_base())
    assert found.manifest == f"https://registry-1.docker.io/v2/{found.repository}/manifests/{found.tag}"


@pytest.mark.parametrize("text", ["python", "python:3.12", "docker.io/library/python", "-x/y:z", "a/b:c@sha256:0"])
def test_what_is_not_a_tag_of_a_registry_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="is not REGISTRY/REPOSITORY:TAG"):
        Reference.parse(text)


@pytest.mark.parametrize("base", ["python:3.12", "docker.io/library/python:3.12", "python@sha256:0123"])
def test_a_base_without_a_digest_is_not_built_on(base: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert build_image(["--base", base]) == 1
    assert "has no digest" in capsys.readouterr().err


@pytest.mark.parametrize("more", [["--base", f"python:3.12@{DIGEST}"], ["--base", "python:3.12", "--any-base"]])
def test_a_base_by_its_digest_is_built_on_and_any_in_a_trial(
    more: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # without a builder
    assert build_image(["--version", "1", *more]) == 1
    assert "cannot build here" in capsys.readouterr().err
