"""A client of Airflow's REST API, as an operator's script uses it."""

from __future__ import annotations

import time
from typing import Any

import httpx

from project.errors import CommandError
from project.waiting import wait_until

ADMIN = "admin"
BURST_DAG, BURST_TASK = "burst", "work"
DAG_TIMEOUT_S = 60
PAGE = 100  # the API's own limit
TRANSIENT_RETRIES = 5


class Airflow:
    """A signed-in client of one webserver."""

    def __init__(self, url: str, *, user: str, password: str) -> None:
        # trust_env is off: a proxy for the internet must not get these requests.
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)
        answer = self._http.post("/auth/token", json={"username": user, "password": password})
        if answer.status_code != httpx.codes.CREATED:
            raise CommandError(f"Airflow refused the sign-in of {user}: HTTP {answer.status_code}")
        self.token = str(answer.json()["access_token"])  # the cookie of the user's browser
        self._http.headers["Authorization"] = f"Bearer {self.token}"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def dag_exists(self, dag_id: str) -> bool:
        """Whether the DAG processor has stored the DAG."""
        answer = self._http.get(f"/api/v2/dags/{dag_id}")
        return answer.status_code == httpx.codes.OK

    def dag(self, dag_id: str) -> dict[str, Any]:
        """Return what Airflow knows of a DAG."""
        return self._call("GET", f"/api/v2/dags/{dag_id}")

    def description(self, dag_id: str) -> str | None:
        """Return the description of the DAG; None if there is none, or no such DAG."""
        answer = self._http.get(f"/api/v2/dags/{dag_id}")
        return answer.json()["description"] if answer.status_code == httpx.codes.OK else None

    def wait_for_dag(self, dag_id: str, *, timeout_s: float = DAG_TIMEOUT_S) -> None:
        """Wait until the DAG processor has stored the DAG. Raises CommandError."""
        wait_until(lambda: self.dag_exists(dag_id), what=f"parsing of the DAG {dag_id}", timeout_s=timeout_s)

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Unpause the DAG, start a run with `conf`, return the run's id."""
        self.unpause(dag_id)
        return self.start_run(dag_id, conf)

    def start_run(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Start a run of an unpaused DAG with `conf`, return the run's id."""
        run = self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})
        return str(run["dag_run_id"])

    def unpause(self, dag_id: str) -> None:
        """Unpause the DAG, so that it runs by its schedule."""
        self._call("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": False})

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the DAG's last runs, the latest first."""
        answer = self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns", params={"order_by": "-run_after", "limit": PAGE})
        found: list[dict[str, Any]] = answer["dag_runs"]
        return found

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the run's state."""
        return str(self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def count(self, dag_id: str, run_id: str, *, task_id: str, state: str) -> int:
        """Count the run's instances of a task in one state."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        answer = self._call("GET", path, params={"task_id": task_id, "state": state, "limit": 1})
        return int(answer["total_entries"])

    def task_instances(self, dag_id: str, run_id: str, *, task_id: str = "") -> list[dict[str, Any]]:
        """Return all task instances of a run, or those of one of its tasks."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        only = {"task_id": task_id} if task_id else {}
        found: list[dict[str, Any]] = []
        while True:
            page = {"limit": PAGE, "offset": len(found), "order_by": "map_index", **only}
            answer = self._call("GET", path, params=page)
            found += answer["task_instances"]
            if len(found) >= answer["total_entries"] or not answer["task_instances"]:
                return found

    def import_errors(self) -> list[str]:
        """Return why files of DAGs could not be imported, at most PAGE of them."""
        answer = self._call("GET", "/api/v2/importErrors", params={"limit": PAGE})
        return [str(error["stack_trace"]) for error in answer["import_errors"]]

    def log(self, instance: dict[str, Any]) -> str:
        """Return the text of the log of a task instance's last try."""
        path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/logs/{try_number}".format(**instance)
        answer = self._call("GET", path, params={"map_index": instance["map_index"], "full_content": "true"})
        content = answer["content"]
        return content if isinstance(content, str) else "\n".join(str(line) for line in content)

    def _call(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        for attempt in range(TRANSIENT_RETRIES):
            try:
                answer = self._http.request(method, path, **more)
            except httpx.TransportError:
                time.sleep(2**attempt / 4)
                continue
            if answer.is_error:
                raise CommandError(
                    f"Airflow answered {method} {path} with HTTP {answer.status_code}: {answer.text[:200]}"
                )
            found: dict[str, Any] = answer.json()
            return found
        raise CommandError(f"Airflow did not answer {method} {path}")
