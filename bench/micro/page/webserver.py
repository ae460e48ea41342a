"""Runs a real Airflow webserver with the image's plugins, SQLite and three users, for measurements and tests."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from fleet.pools import POOLS, pool_entry
from local.servers import process
from local.servers.ports import HOST, free_port
from project import paths
from project.errors import CommandError
from project.waiting import wait_until
from roles import parts
from roles.parts import ADMIN

ROOT = Path(__file__).parents[3]
IMAGE = ROOT / "airflow_image"
PYTHON = ROOT / ".venv-airflow" / "bin" / "python"
TASK_ARN = "arn:aws:ecs:eu-central-1:123456789012:task/cluster/0123456789abcdef"
STARTS_WITHIN_S = 240.0
ANSWERS_WITHIN_S = 20.0
ANEW = {"Cache-Control": "no-cache"}  # asks for a new answer, not a shared one

DECLARED = (
    pool_entry(name="worker", queues=["default"], minimum=1, maximum=40, concurrency=16),
    pool_entry(name="heavy", queues=["heavy", "heavier"], minimum=0, maximum=8, concurrency=2),
)
# The local users with their roles. Public has no permissions; a Reporter may see one DAG, a Watcher the fleet as well.
USERS = {
    "admin": "Admin",
    "op": "Op",
    "viewer": "Viewer",
    "nobody": "Public",
    "reporter": "Reporter",
    "watcher": "Watcher",
}
OF_ONE_DAG = ["DAG:report", "DAG Runs", "Task Instances"]
ROLES = {
    "Reporter": {"may": {"can_read": OF_ONE_DAG}},
    "Watcher": {"may": {"can_read": [*OF_ONE_DAG, "Cluster Activity", "Plugins"]}},
}
PASSWORD = "a-password-of-nobody"  # noqa: S105 - for servers that run for a minute
# Runs the role `migrate` with another file than the image's.
MIGRATE = """
import sys
from pathlib import Path
from sign_in import migrate
migrate.DECLARED_FILE = Path(sys.argv[1])
sys.exit(migrate.main())
"""


def environment(*, home: Path, broker_url: str, role: str = "webserver") -> dict[str, str]:
    """Return a container's environment variables after its entrypoint."""
    return {
        "PATH": f"{PYTHON.parent}:{os.environ['PATH']}",
        "PYTHONPATH": paths.IMAGE_PYTHONPATH,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(IMAGE / "plugins"),
        **parts.SIGN_IN.settings({}),
        "AIRFLOW__API_AUTH__JWT_SECRET": "a-secret-of-nobody-that-is-long-enough",
        "AIRFLOW__CELERY__BROKER_URL": broker_url,
        "BIND_HOST": HOST,
        "FLEET_READER_URL": broker_url,
        "FLEET_ROLE": role,
        "FLEET_TASK_ARN": TASK_ARN,
        "IMAGE_VERSION": "1.4.0",
        POOLS: json.dumps(DECLARED),
    }


@dataclass(frozen=True, kw_only=True)
class Webserver:
    """A running webserver with its log, the address of its UI and the one of its Execution API."""

    url: str
    internal_url: str
    pid: int
    log: Path

    def get(self, path: str, *, user: str | None = None, token: str | None = None) -> httpx.Response:
        """Return a new answer to GET `path` as this user, as the token's user, or signed out."""
        token = token if user is None else self.token(user)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.get(self.url + path, headers=headers | ANEW, timeout=ANSWERS_WITHIN_S)

    def token(self, user: str) -> str:
        """Sign the user in and return the token."""
        credentials = {"username": user, "password": PASSWORD}
        answer = httpx.post(f"{self.url}/auth/token", json=credentials, timeout=ANSWERS_WITHIN_S).raise_for_status()
        return str(answer.json()["access_token"])


@contextlib.contextmanager
def running_webserver(*, home: Path, broker_url: str, settings: Mapping[str, str] | None = None) -> Iterator[Webserver]:
    """Run a webserver until the block ends, with these additional variables; yield it when it answers."""
    public, internal = int((settings or {}).get("PUBLIC_PORT") or free_port()), free_port()
    ports = {"PUBLIC_PORT": str(public), "PORT": str(internal)}
    variables = environment(home=home, broker_url=broker_url) | ports | dict(settings or {})
    log = home / "webserver.log"
    migrate(home=home, variables=variables, log=log)
    child = process.spawn([str(PYTHON), "-m", "agent.web"], env=variables, cwd=home, log_path=log)
    urls = {"url": f"http://{HOST}:{public}", "internal_url": f"http://{HOST}:{internal}"}
    server = Webserver(**urls, pid=child.pid, log=log)
    try:
        is_settled = partial(_is_settled, child, server)
        wait_until(is_settled, what="the start of the webserver", timeout_s=STARTS_WITHIN_S)
        if child.poll() is not None:
            raise CommandError(log.read_text())
        yield server
    finally:
        process.stop(child)


def migrate(*, home: Path, variables: Mapping[str, str], log: Path, declared: str | None = None) -> None:
    """Make the database with its roles and users, by default those of USERS. Raises CommandError."""
    users = {name: {"roles": [role]} for name, role in USERS.items() if name != ADMIN}
    file = home / "access.yaml"
    file.write_text(json.dumps({"roles": ROLES, "users": users}) if declared is None else declared)
    passwords = {"ADMIN_PASSWORD": PASSWORD, "USER_PASSWORDS": json.dumps(dict.fromkeys(users, PASSWORD))}
    settings = parts.PEOPLE.settings({}) | parts.PEOPLE.secrets(passwords)
    command = [str(PYTHON), "-c", MIGRATE, str(file)]
    done = process.spawn(command, env={**variables, **settings}, cwd=home, log_path=log)
    if done.wait(STARTS_WITHIN_S):
        raise CommandError(log.read_text())


def _is_settled(child: subprocess.Popen[bytes], server: Webserver) -> bool:
    return child.poll() is not None or _answers(server)


def _answers(server: Webserver) -> bool:
    try:
        return server.get("/api/v2/monitor/health").status_code == 200
    except httpx.TransportError:
        return False
