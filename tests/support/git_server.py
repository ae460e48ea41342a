"""A git server over HTTP: git's own program for it, with a repository that a test pushes to."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from local.servers.ports import HOST
from local.servers.threads import HttpServer

IDENTITY = {f"GIT_{who}_{what}": "dags" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", **IDENTITY}


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder; return its output."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


@dataclass(kw_only=True)
class GitServer:
    """`checkout`: what is pushed from. `is_away`: each request is refused. `token`: asked for, if there is one."""

    checkout: Path
    bare: Path
    url: str = ""
    is_away: bool = False
    token: str = ""
    requests: list[str] = field(default_factory=list)

    def push(self, files: Mapping[str, str], *, branch: str = "main", is_forced: bool = False) -> str:
        """Commit the files on the branch and push them; return the commit."""
        for path, text in files.items():
            place = self.checkout / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        git(self.checkout, "add", "-A")
        git(self.checkout, "commit", "-q", "--allow-empty", "-m", "change")
        return self.push_head(branch=branch, is_forced=is_forced)

    def push_head(self, *, branch: str = "main", is_forced: bool = False) -> str:
        """Push what the checkout is at; return the commit."""
        git(
            self.checkout,
            "push",
            "-q",
            *(["--force"] if is_forced else []),
            str(self.bare),
            f"HEAD:refs/heads/{branch}",
        )
        return git(self.checkout, "rev-parse", "HEAD")


@contextmanager
def git_server(folder: Path) -> Iterator[GitServer]:
    """Serve an empty repository until the block ends."""
    made = GitServer(checkout=folder / "checkout", bare=folder / "served" / "team" / "dags.git")
    for place, options in ((made.checkout, ()), (made.bare, ("--bare",))):
        place.mkdir(parents=True)
        git(place, "init", "-q", "-b", "main", *options)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            made.requests.append(self.path)
            expected = base64.b64encode(f"git:{made.token}".encode()).decode()
            if made.is_away:
                self.send_error(503)
            elif made.token and self.headers.get("Authorization") != f"Basic {expected}":
                self.send_error(401)
            else:
                self._run()

        def _run(self) -> None:
            path, _, query = self.path.partition("?")
            done = subprocess.run(
                ["git", "http-backend"],
                input=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
                env={
                    **ENVIRONMENT,
                    "GIT_PROJECT_ROOT": str(folder / "served"),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "REQUEST_METHOD": self.command,
                    "PATH_INFO": path,
                    "QUERY_STRING": query,
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                    "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                    "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                    "REMOTE_ADDR": HOST,
                },
                capture_output=True,
                check=False,
                timeout=60,
            )
            head, _, body = done.stdout.partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
            self.send_response(int(fields.pop("Status", "200").split()[0]))
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HttpServer(Handler, name="git")
    made.url = f"http://{HOST}:{server.server_port}/team/dags.git"
    try:
        yield made
    finally:
        server.close()
