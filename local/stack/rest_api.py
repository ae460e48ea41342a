"""Airflow's REST API as the local stack uses it: import errors, files to parse again, variables, connections."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from project.errors import CommandError

ADMIN = "admin"
TIMEOUT_S = 20.0
PAGE = 100  # the API's own limit
_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')


@dataclass(frozen=True, kw_only=True)
class ImportFailure:
    """A DAG file that the DAG processor could not import. `line`: 0 if the stack trace names none."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}" if self.line else f"{self.file}: {self.reason}"


class RestApi:
    """A client that signs in again when its session has ended. One thread may use it."""

    def __init__(self, url: str, *, password: str) -> None:
        # trust_env is off: a proxy for the internet must not get these requests.
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False)
        self._password = password

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def import_failures(self) -> list[ImportFailure]:
        """Return why DAG files could not be imported, at most PAGE of them. Raises httpx.HTTPError."""
        found = self._call("GET", "/api/v2/importErrors", params={"limit": PAGE})
        return [import_failure(each["filename"], each["stack_trace"]) for each in found["import_errors"]]

    def parse_again(self) -> None:
        """Let the DAG processor read every file that has a DAG again. Raises httpx.HTTPError."""
        tokens: set[str] = set()
        offset = 0
        while True:
            found = self._call("GET", "/api/v2/dags", params={"limit": PAGE, "offset": offset})
            tokens |= {each["file_token"] for each in found["dags"]}
            offset += PAGE
            if offset >= found["total_entries"]:
                break
        for token in sorted(tokens):
            self._call("PUT", f"/api/v2/parseDagFile/{token}", accepted=(httpx.codes.CONFLICT,))

    def store(self, kind: str, entities: Sequence[Mapping[str, Any]]) -> None:
        """Store variables or connections (`kind`), also over those that exist. Raises httpx.HTTPError, CommandError.

        The message names what was refused, never a value.
        """
        if not entities:
            return
        action = {"action": "create", "entities": [*entities], "action_on_existence": "overwrite"}
        answer = self._call("PATCH", f"/api/v2/{kind}", json={"actions": [action]})
        if (answer.get("create") or {}).get("errors"):
            raise CommandError(f"Airflow did not take all {kind}: check their names and types")

    def _call(self, method: str, path: str, *, accepted: Sequence[int] = (), **more: Any) -> dict[str, Any]:
        answer = self._http.request(method, path, **more)
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            signed_in = self._http.post("/auth/token", json={"username": ADMIN, "password": self._password})
            signed_in.raise_for_status()
            self._http.headers["Authorization"] = f"Bearer {signed_in.json()['access_token']}"
            answer = self._http.request(method, path, **more)
        if answer.status_code not in accepted:
            answer.raise_for_status()
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found if isinstance(found, dict) else {}


def import_failure(file: str, trace: str) -> ImportFailure:
    """Return file, line and reason of a stack trace. Of the frames in the file itself, the last one counts."""
    lines = [each["line"] for each in _FRAME.finditer(trace) if each["file"].endswith(f"/{file}")]
    said = [line.strip() for line in trace.splitlines() if line.strip()]
    return ImportFailure(file=file, line=int(lines[-1]) if lines else 0, reason=said[-1] if said else "no reason")
