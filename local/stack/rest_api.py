"""A client of Airflow's REST API, as an operator's script uses it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from local.stack.import_failures import ImportFailure, import_failure
from project.errors import CommandError
from project.waiting import wait_until

ADMIN = "admin"
DAG_TIMEOUT_S = 60
REQUEST_TIMEOUT_S = 30.0
PAGE = 100  # the API's own limit
ATTEMPTS = 5
QUOTED = 200  # characters of a refusal
SESSION_ENDED = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)


class NoAnswer(CommandError):
    """The webserver did not answer, or with an error of its own. It may do so later."""


class Airflow:
    """A client of one webserver. It signs in when it must, and again when its session has ended.

    `attempts`: for a request that is not answered, with pauses of seconds between them. Threads may share a client.
    Every method that asks raises NoAnswer, and CommandError for what Airflow refuses.
    """

    def __init__(self, url: str, *, user: str, password: str, attempts: int = ATTEMPTS) -> None:
        # trust_env is off: a proxy for the internet must not get these requests.
        self._http = httpx.Client(base_url=url, timeout=REQUEST_TIMEOUT_S, trust_env=False)
        self._user, self._password, self._attempts = user, password, attempts
        self._token = ""

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def token(self) -> str:
        """The token of the session, which is also the cookie of the user's browser."""
        if not self._token:
            self._sign_in()
        return self._token

    def dag_exists(self, dag_id: str) -> bool:
        """Whether the DAG processor has stored the DAG."""
        return self._ask("GET", f"/api/v2/dags/{dag_id}").status_code == httpx.codes.OK

    def dag(self, dag_id: str) -> dict[str, Any]:
        """Return what Airflow knows of a DAG."""
        return self.call("GET", f"/api/v2/dags/{dag_id}")

    def description(self, dag_id: str) -> str | None:
        """Return the description of the DAG; None if there is none, or no such DAG."""
        answer = self._ask("GET", f"/api/v2/dags/{dag_id}")
        return answer.json()["description"] if answer.status_code == httpx.codes.OK else None

    def wait_for_dag(self, dag_id: str, *, timeout_s: float = DAG_TIMEOUT_S) -> None:
        """Wait until the DAG processor has stored the DAG. Raises CommandError."""
        wait_until(lambda: self.dag_exists(dag_id), what=f"parsing of the DAG {dag_id}", timeout_s=timeout_s)

    def parse_again(self) -> None:
        """Let the DAG processor read every file that has a DAG again."""
        tokens: set[str] = set()
        offset = 0
        while True:
            found = self.call("GET", "/api/v2/dags", params={"limit": PAGE, "offset": offset})
            tokens |= {each["file_token"] for each in found["dags"]}
            offset += PAGE
            if offset >= found["total_entries"]:
                break
        for token in sorted(tokens):
            self.call("PUT", f"/api/v2/parseDagFile/{token}", accepted=(httpx.codes.CONFLICT,))

    def import_failures(self) -> list[ImportFailure]:
        """Return why DAG files could not be imported, at most PAGE of them."""
        found = self.call("GET", "/api/v2/importErrors", params={"limit": PAGE})
        return [import_failure(each["filename"], each["stack_trace"]) for each in found["import_errors"]]

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Unpause the DAG, start a run with `conf`, return the run's id."""
        self.unpause(dag_id)
        return self.start_run(dag_id, conf)

    def start_run(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Start a run of an unpaused DAG with `conf`, return the run's id. Of a paused DAG, the run waits."""
        run = self.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})
        return str(run["dag_run_id"])

    def unpause(self, dag_id: str) -> None:
        """Unpause the DAG, so that it runs by its schedule."""
        self.call("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": False})

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the DAG's last runs, the latest first, at most PAGE of them."""
        answer = self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns", params={"order_by": "-run_after", "limit": PAGE})
        found: list[dict[str, Any]] = answer["dag_runs"]
        return found

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the run's state."""
        return str(self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def count(self, dag_id: str, run_id: str, *, task_id: str, state: str) -> int:
        """Count the run's instances of a task in one state."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        answer = self.call("GET", path, params={"task_id": task_id, "state": state, "limit": 1})
        return int(answer["total_entries"])

    def task_instances(self, dag_id: str, run_id: str, *, task_id: str = "") -> list[dict[str, Any]]:
        """Return all task instances of a run, or those of one of its tasks."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        only = {"task_id": task_id} if task_id else {}
        found: list[dict[str, Any]] = []
        while True:
            page = {"limit": PAGE, "offset": len(found), "order_by": "map_index", **only}
            answer = self.call("GET", path, params=page)
            found += answer["task_instances"]
            if len(found) >= answer["total_entries"] or not answer["task_instances"]:
                return found

    def log(self, instance: dict[str, Any]) -> str:
        """Return the text of the log of a task instance's last try."""
        path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/logs/{try_number}".format(**instance)
        answer = self.call("GET", path, params={"map_index": instance["map_index"], "full_content": "true"})
        content = answer["content"]
        return content if isinstance(content, str) else "\n".join(str(line) for line in content)

    def store(self, kind: str, entities: Sequence[Mapping[str, Any]]) -> None:
        """Store variables or connections (`kind`), also over those that exist.

        Raises CommandError, which names the kind and no value, if Airflow does not take all of them.
        """
        if not entities:
            return
        action = {"action": "create", "entities": [*entities], "action_on_existence": "overwrite"}
        answer = self.call("PATCH", f"/api/v2/{kind}", json={"actions": [action]}, may_quote=False)
        if (answer.get("create") or {}).get("errors"):
            raise CommandError(f"Airflow did not take all {kind}: check their names and types")

    def call(
        self, method: str, path: str, *, accepted: Sequence[int] = (), may_quote: bool = True, **more: Any
    ) -> dict[str, Any]:
        """Return the answer, empty if it is no object of JSON. `accepted`: status codes that are no refusal.

        `may_quote`: the answer to a refused request may stand in the message; Airflow's repeats what it was sent.
        """
        answer = self._ask(method, path, **more)
        if answer.is_error and answer.status_code not in accepted:
            quoted = f": {answer.text[:QUOTED]}" if may_quote else ""
            raise _error(answer, f"Airflow answered {method} {path} with HTTP {answer.status_code}{quoted}")
        found = answer.json() if answer.content else {}
        return found if isinstance(found, dict) else {}

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Return the answer to a request that is signed in; to one that is not taken even then, the refusal."""
        if self._token:
            answer = self._send(method, path, **more)
            if answer.status_code not in SESSION_ENDED:
                return answer
        self._sign_in()
        return self._send(method, path, **more)

    def _sign_in(self) -> None:
        answer = self._send("POST", "/auth/token", json={"username": self._user, "password": self._password})
        if answer.status_code != httpx.codes.CREATED:
            raise _error(answer, f"Airflow refused the sign-in of {self._user}: HTTP {answer.status_code}")
        self._token = str(answer.json()["access_token"])
        self._http.headers["Authorization"] = f"Bearer {self._token}"

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        for attempt in range(self._attempts):
            if attempt:
                time.sleep(2**attempt / 8)
            try:
                return self._http.request(method, path, **more)
            except httpx.TransportError as error:
                reason = type(error).__name__
        raise NoAnswer(f"Airflow did not answer {method} {path}: {reason}")


def _error(answer: httpx.Response, message: str) -> CommandError:
    return NoAnswer(message) if answer.is_server_error else CommandError(message)
