"""Stock Airflow: the same packages, CeleryExecutor, its own prefork worker and its own settings."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from bench.tasks.system import DAG_PROCESSOR, DAGS, MIGRATE, SCHEDULER, USER, WEBSERVER, WORKER, System
from local.servers.ports import HOST
from project.paths import AIRFLOW_ENVIRONMENT

FERNET_KEY = base64.urlsafe_b64encode(b"f" * 32).decode()
SECRET = "a-secret-of-at-least-sixty-four-bytes-that-protects-nothing-at-all-"  # noqa: S105 - for minutes


class Stock(System):
    """Settings beside those that it cannot run without: no examples. Its log servers would listen on all interfaces."""

    name = "stock"
    broker_database = 1
    unacked_key = "unacked"
    worker_roles = (WORKER,)

    def argv(self, role: str, *, slots: int) -> list[str]:
        """Return the command of a role."""
        commands = {
            MIGRATE: ["db", "migrate"],
            WEBSERVER: ["api-server", "--host", HOST, "--port", str(self.url_port)],
            SCHEDULER: ["scheduler", "--skip-serve-logs"],
            DAG_PROCESSOR: ["dag-processor"],
            WORKER: ["celery", "worker", "--concurrency", str(slots), "--skip-serve-logs"],
        }
        return [str(AIRFLOW_ENVIRONMENT / "bin" / "airflow"), *commands[role]]

    def environment(self, role: str, home: Path, *, slots: int) -> dict[str, str]:  # noqa: ARG002 - those of the base
        """Return the same variables for all roles, as an installation has."""
        passwords = home / "passwords.json"
        passwords.write_text(json.dumps({USER: self.servers.password}))
        url = f"http://{HOST}:{self.url_port}"
        return {
            "PATH": f"{AIRFLOW_ENVIRONMENT / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            **self.image_environment(home, pythonpath=()),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__API__BASE_URL": url,
            "AIRFLOW__API__SECRET_KEY": SECRET,
            "AIRFLOW__API_AUTH__JWT_SECRET": SECRET,
            "AIRFLOW__CELERY__BROKER_URL": self.servers.broker_url(self.broker_database),
            "AIRFLOW__CELERY__RESULT_BACKEND": self.servers.database_url(self.name, driver="db+postgresql"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CORE__FERNET_KEY": FERNET_KEY,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.servers.database_url(self.name, driver="postgresql+psycopg2"),
            **self.variables,
        }
