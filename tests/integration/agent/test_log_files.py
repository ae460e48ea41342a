"""The log server beside a worker, asked as Airflow's webserver asks it."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import psutil
import pytest

from agent import variables
from agent.log_files import ALGORITHM, AUDIENCE, LEEWAY_S, MAX_REQUESTS
from agent.log_listener import listen
from local.servers.ports import Address, free_port
from project import paths
from tests.support.airflows_python import AIRFLOWS_PYTHON, asked, needs_airflow
from tests.support.processes import end_all_below
from tests.support.waiting import eventually

KEY = "a-key-of-the-webserver-that-is-at-least-sixty-four-bytes-long-as-HS512-wants"
PORT = 8793
LOG = "dag_id=d/run_id=manual__2026-12-01T00:00:00+00:00/task_id=t/attempt=1.log"
MOST_PSS_MIB = 40  # Airflow's own took 109
START = """
import os, time
from agent import log_listener
log_listener.start_server(log_listener.listen(os.environ), os.environ)
time.sleep(600)
"""
# The call is Airflow's own: a new release that asks in another way is noticed here.
ASK = """
import os
from airflow.utils.log.file_task_handler import _fetch_logs_from_service
found = {}
for path in json.loads(os.environ["PATHS"]):
    response = _fetch_logs_from_service(os.environ["URL"] + path, path)
    found[path] = [response.status_code, response.headers.get("Content-Length"), response.text]
answer(found)
"""

pytestmark = needs_airflow


@dataclass(frozen=True, kw_only=True)
class LogServer:
    """`folder` holds the logs, `process` is the one that started the server."""

    host: str
    folder: Path
    process: psutil.Process

    def ask(self, home: Path, *paths_: str) -> Any:
        """Return status, length and text of each file, as Airflow's webserver gets them."""
        url = f"http://{self.host}:{PORT}/log/"
        given = {"AIRFLOW__API__SECRET_KEY": KEY, "URL": url, "PATHS": json.dumps(paths_)}
        return asked(ASK, home=home, **given)

    def send(self, request: bytes) -> bytes:
        """Return the answer to the bytes of a request."""
        with socket.create_connection((self.host, PORT), timeout=30) as connection:
            connection.sendall(request)
            answer = b""
            while part := connection.recv(65536):
                answer += part
            return answer

    def get(self, path: str, token: str) -> bytes:
        return self.send(f"GET /log/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode())

    @property
    def pss_mib(self) -> float:
        return sum(p.memory_full_info().pss for p in self.process.children(recursive=True)) / 2**20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LogServer]:
    """Run the log server on an address of its own."""
    address = Address([PORT])
    folder = tmp_path / "logs"
    file = folder / LOG
    file.parent.mkdir(parents=True)
    file.write_text("the first line\n")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": paths.IMAGE_PYTHONPATH,
        variables.BIND_HOST: address.host,
        variables.LOG_SERVER_PORT: str(PORT),
        variables.LOG_FOLDER: str(folder),
        variables.LOG_SERVER_KEY: KEY,
    }
    with subprocess.Popen([AIRFLOWS_PYTHON, "-c", START], env=environment) as process:
        try:
            assert eventually(lambda: accepts(address.host))
            yield LogServer(host=address.host, folder=folder, process=psutil.Process(process.pid))
        finally:
            end_all_below(process.pid)
            process.kill()
            address.release()


def accepts(host: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, PORT)) == 0


def token(**changes: Any) -> str:
    now = int(time.time())
    claims = {"aud": AUDIENCE, "exp": now + 30, "iat": now, "nbf": now, "filename": LOG, **changes}
    return str(jwt.encode({k: v for k, v in claims.items() if v is not None}, KEY, algorithm=ALGORITHM))


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_airflow_s_webserver_reads_a_log_and_learns_that_there_is_none(server: LogServer, tmp_path: Path) -> None:
    empty = LOG.replace("attempt=1", "attempt=2")
    (server.folder / empty).touch()
    none = LOG.replace("attempt=1", "attempt=3")
    found = server.ask(tmp_path, LOG, empty, none)
    assert found[LOG] == [200, "15", "the first line\n"]
    assert found[empty] == [200, "0", ""]
    assert found[none][0] == 404


def test_only_a_valid_token_for_this_file_opens_it(server: LogServer) -> None:
    assert b"the first line" in server.get(LOG, token())
    now = int(time.time())
    refused = {
        "of another file": token(filename=LOG.replace("task_id=t", "task_id=u")),
        "for no file": token(filename=None),
        "for another server": token(aud="execution"),
        "without an audience": token(aud=None),
        "too old": token(exp=now - LEEWAY_S - 5),
        "without an end": token(exp=None),
        "of the future": token(nbf=now + LEEWAY_S + 60),
        "by another key": jwt.encode({"filename": LOG}, KEY[::-1], algorithm=ALGORITHM),
        "by another algorithm": jwt.encode(jwt.decode(token(), KEY, [ALGORITHM], audience=AUDIENCE), KEY, "HS256"),
        "unsigned": jwt.encode({"filename": LOG, "aud": AUDIENCE}, None, algorithm="none"),
        "none": "",
        "not a token": "x" * 5000,
    }
    answers = {name: server.get(LOG, each) for name, each in refused.items()}
    assert {name: status(answer) for name, answer in answers.items()} == dict.fromkeys(refused, 403)
    assert [name for name, answer in answers.items() if b"the first line" in answer] == []


def test_no_link_and_no_other_folder_is_opened(server: LogServer, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (server.folder / "absolute.log").symlink_to(tmp_path / "secret")
    (server.folder / "folder").symlink_to(tmp_path)
    os.mkfifo(server.folder / "pipe.log")
    asked_for = ("absolute.log", "folder/secret", "../secret", "..%2fsecret", "pipe.log", "dag_id=d", "", "a\0b")
    for path in asked_for:
        encoded = path.replace("\0", "%00")
        answer = server.get(encoded, token(filename=path.replace("%2f", "/")))
        assert (path, status(answer)) == (path, 404)
        assert b"secret" not in answer


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /log/" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5000 + b"\r\n",
        b"\r\n\r\n",
    ],
    ids=["a long path", "many headers", "nothing"],
)
def test_a_request_that_no_webserver_makes_is_refused_and_the_next_one_answered(
    server: LogServer, request_: bytes
) -> None:
    try:
        answer = server.send(request_)
    except OSError:  # it closed the connection while there was more to read
        answer = b""
    assert b" 200 " not in answer
    assert status(server.get(LOG, token())) == 200


def test_clients_that_say_nothing_hold_it_up_for_a_while_only_and_cost_little_memory(server: LogServer) -> None:
    silent = [socket.create_connection((server.host, PORT)) for _ in range(MAX_REQUESTS + 10)]
    try:
        for each in silent:
            each.sendall(b"GET /log/" + b"a" * 8000)
        began = time.monotonic()
        assert status(server.get(LOG, token())) == 200
        assert time.monotonic() - began < 30
    finally:
        for each in silent:
            each.close()
    assert server.pss_mib < MOST_PSS_MIB


def test_it_listens_on_its_own_address_only(server: LogServer) -> None:
    assert accepts(server.host)
    pids = {server.process.pid, *(child.pid for child in server.process.children(recursive=True))}
    found = [c for c in psutil.net_connections("tcp") if c.pid in pids and c.status == psutil.CONN_LISTEN]
    assert {c.laddr for c in found} == {(server.host, PORT)}


@pytest.mark.parametrize("option", [socket.SO_REUSEADDR, socket.SO_REUSEPORT], ids=["address", "port"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_task_cannot_listen_in_its_place(host: str, option: int) -> None:
    port = free_port()
    listener = listen({variables.LOG_SERVER_PORT: str(port)})  # as on AWS: on every interface
    assert listener is not None
    with listener, socket.socket() as taker:
        taker.setsockopt(socket.SOL_SOCKET, option, 1)
        with pytest.raises(OSError, match="in use"):
            taker.bind((host, port))
