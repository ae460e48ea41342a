"""A throw-away Postgres that stands in for RDS: fast rather than durable, and closed to all but its owner."""

import contextlib
import os
import pwd
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString

import psutil
import psycopg
from psycopg import sql

from local.servers import postgres_files, process
from local.servers.ports import HOST, Port, PortTakenError, reserve

START_TIMEOUT_S = 30.0
POLL_EVERY_S = 0.02  # a start takes 0.05 s
FREEZE_TIMEOUT_S = 5.0
PREDECESSOR_TIMEOUT_S = 10.0  # after a killed `make up` its server takes a moment to shut down
ADDRESS_IN_USE = "Address already in use"
FAST_SHUTDOWN = signal.SIGINT

SUPERUSER = "rdsadmin"  # RDS uses this name and refuses it for a master user
SETTINGS = {
    # Every process of the stack keeps its own connection pool.
    "max_connections": "300",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    # Data may be lost with the machine but not with the process, so no write has to reach the disk.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    # Not /dev/shm, which is small in containers and keeps the files of a killed server.
    "dynamic_shared_memory_type": "mmap",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements and rows may hold secrets, so neither is logged.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "listen_addresses": HOST,
    # Relative to the data directory, where Postgres runs: an absolute path may exceed the 107 bytes of a socket's
    # address.
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
}
HBA = f"""\
local all {SUPERUSER} peer map=owner
host all {SUPERUSER} all reject
host all all {HOST}/32 scram-sha-256
"""


class Postgres:
    """A Postgres on 127.0.0.1 that keeps its data in `data_dir`, made when missing, and ends with this process.

    Only this process can be the superuser, through a unix socket in a directory of mode 0700; all other users sign in
    over TCP with a password. The wheel's build has no TLS; relay.Relay adds it. The port is chosen at the first start
    and stays reserved while the server is down.
    """

    def __init__(self, data_dir: str | os.PathLike[str]) -> None:
        self.data_dir = Path(data_dir).absolute()
        self._child: process.Child | None = None
        self._home = self.data_dir
        self._uid: int | None = None
        self._port: Port | None = None
        self.host = HOST

    @property
    def pid(self) -> int | None:
        """The server's process id, or None while it is down."""
        return None if self._child is None else self._child.pid

    @property
    def port(self) -> int:
        """The port of the server; 0 before the first start."""
        return 0 if self._port is None else self._port.number

    @property
    def log_path(self) -> Path:
        """The log of the server and of initdb."""
        return self._home / "postgres.log"

    def start(self) -> "Postgres":
        """Start and wait until ready; the first time, run initdb before. Raise StartError or PortTakenError."""
        if self._child is not None:
            raise process.StartError("Postgres has been started already")
        self._uid = postgres_files.server_user(self.data_dir / "data")
        self._home = postgres_files.prepare(self.data_dir, uid=self._uid)
        programs = postgres_files.programs(self._home, uid=self._uid)
        if not self._data.exists():
            self._init(programs / "initdb")
        self._wait_for_predecessor()
        self._write_access_rules()
        self._port = self._port or reserve()
        self._child = self._start(programs / "postgres")
        return self

    def stop(self) -> None:
        """Shut down fast: end sessions, keep data. Do nothing when the server is down."""
        if self._child is not None:
            process.stop(self._child, stop_signal=FAST_SHUTDOWN)
            self._child = None

    def restart(self, *, away_s: float = 0.0) -> None:
        """End every session, wait, start with the same data on the same port, as a reboot of the instance does."""
        self.stop()
        time.sleep(away_s)
        programs = postgres_files.programs(self._home, uid=self._uid)
        self._child = self._start(programs / "postgres")

    def freeze(self) -> None:
        """Let no process of the server go on: sessions stay open, new ones are accepted by the kernel alone."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the server go on. Do nothing when it is not frozen, or down."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        """Send a signal to the server's first process, which starts no further ones meanwhile, and to all others."""
        if self.pid is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            first = psutil.Process(self.pid)
            first.send_signal(number)
            deadline = time.monotonic() + FREEZE_TIMEOUT_S
            # Until it has stopped, it may still be starting another one.
            while number == signal.SIGSTOP and first.status() != psutil.STATUS_STOPPED and time.monotonic() < deadline:
                time.sleep(POLL_EVERY_S)
            for other in first.children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    other.send_signal(number)

    def remove(self) -> None:
        """Stop the server and delete its files."""
        self.stop()
        postgres_files.remove(self.data_dir)

    def provision(self, user: str, password: str, database: str) -> None:
        """Make the user and its database, or bring them to this state, which also rotates the password.

        Like RDS's master user, the user may create databases and roles but is no superuser. Only the password's SCRAM
        verifier is sent. Raise ValueError for the superuser's name or an empty password.
        """
        if user == SUPERUSER or not password:
            raise ValueError(f"the user must not be {SUPERUSER}, and the password not empty")
        with self.superuser() as connection:
            verifier = connection.pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256").decode()
            if not _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", user):
                connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(user)))
            role = sql.SQL("ALTER ROLE {} LOGIN CREATEDB CREATEROLE PASSWORD {}")
            connection.execute(role.format(sql.Identifier(user), sql.Literal(verifier)))
            if not _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", database):
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
            owner = sql.SQL("ALTER DATABASE {} OWNER TO {}")
            connection.execute(owner.format(sql.Identifier(database), sql.Identifier(user)))

    @contextlib.contextmanager
    def superuser(self, database: str = "postgres") -> Iterator["psycopg.Connection[Any]"]:
        """Open a connection with all rights, in autocommit mode."""
        directory = os.open(self._data, os.O_PATH | os.O_DIRECTORY)
        try:
            # Through the open directory: this path is short, however long the directory's own is.
            socket_directory = f"/proc/self/fd/{directory}"
            with psycopg.connect(
                host=socket_directory, port=self.port, user=SUPERUSER, dbname=database, autocommit=True
            ) as connection:
                yield connection
        finally:
            os.close(directory)

    @property
    def _data(self) -> Path:
        return self._home / "data"

    def _spawn(self, *argv: str | Path) -> process.Child:
        return process.spawn(
            argv,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            cwd=self._home,
            log_path=self.log_path,
            user=self._uid,
            death_signal=FAST_SHUTDOWN,
        )

    def _init(self, initdb: Path) -> None:
        # Under another name until it is complete: an interrupted initdb leaves a directory that resembles data.
        unfinished = self._home / "data.unfinished"
        postgres_files.remove(unfinished)
        unfinished.mkdir(mode=0o700)
        if self._uid is not None:
            os.chown(unfinished, *process.user_ids(self._uid))
        options = ("--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions", f"--username={SUPERUSER}")
        authentication = ("--auth-local=peer", "--auth-host=scram-sha-256")
        child = self._spawn(initdb, *options, *authentication, f"--pgdata={unfinished}")
        if child.wait() != 0:
            raise process.StartError(f"initdb: {' '.join(process.log_tail(self.log_path)[-1:])}")
        unfinished.rename(self._data)

    def _write_access_rules(self) -> None:
        """Write them beside the data: root must not write where another user may have placed a link."""
        ourselves = pwd.getpwuid(os.geteuid()).pw_name
        for name, content in (("pg_hba.conf", HBA), ("pg_ident.conf", f'owner "{ourselves}" {SUPERUSER}\n')):
            path = self._home / name
            path.write_text(content)
            path.chmod(0o644)

    def _wait_for_predecessor(self) -> None:
        lock = self._data / "postmaster.pid"
        deadline = time.monotonic() + PREDECESSOR_TIMEOUT_S
        while lock.exists():
            pid = int(lock.read_text().split()[0])
            try:
                alive = Path(f"/proc/{pid}/cwd").samefile(self._data)
            except OSError:
                alive = False
            if not alive:
                # Postgres itself would mistake any process of its user with that number for its predecessor.
                lock.unlink(missing_ok=True)
            elif time.monotonic() > deadline:
                raise process.StartError(f"another Postgres, process {pid}, serves {self.data_dir} already")
            else:
                time.sleep(POLL_EVERY_S)

    def _start(self, postgres: Path) -> process.Child:
        log_starts_at = process.log_size(self.log_path)
        settings = {
            **SETTINGS,
            "port": str(self.port),
            "hba_file": str(self._home / "pg_hba.conf"),
            "ident_file": str(self._home / "pg_ident.conf"),
        }
        child = self._spawn(postgres, f"-D{self._data}", *(f"--{name}={value}" for name, value in settings.items()))
        try:
            self._wait_until_ready(child, log_starts_at)
        except BaseException:
            process.stop(child, stop_signal=FAST_SHUTDOWN)
            raise
        return child

    def _wait_until_ready(self, child: process.Child, log_starts_at: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if child.poll() is not None:
                lines = process.log_tail(self.log_path, since=log_starts_at)
                if any(ADDRESS_IN_USE in line for line in lines):
                    raise PortTakenError(self.port)
                raise process.StartError(f"postgres ended with {child.returncode}: {' '.join(lines[-1:])}")
            with contextlib.suppress(FileNotFoundError):
                # In postmaster.pid the first line is the process id, the eighth the state of the start.
                lines = (self._data / "postmaster.pid").read_text().splitlines()
                if lines[:1] == [str(child.pid)] and lines[7:] and lines[7].strip() == "ready":
                    return
            time.sleep(POLL_EVERY_S)
        raise process.StartError(f"postgres was not ready within {START_TIMEOUT_S:g} s; its log: {self.log_path}")


def _exists(connection: "psycopg.Connection[Any]", query: LiteralString, name: str) -> bool:
    return connection.execute(query, (name,)).fetchone() is not None
