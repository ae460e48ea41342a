"""Asks the ECS agent beside the task to protect it from scale-in, or to stop protecting it."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 3.0
PATH = "/task-protection/v1/state"
SERVER_ERROR = 500
LONGEST_REASON = 200


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`granted` is False when ECS says that nothing changed, and None when the outcome is unknown."""

    granted: bool | None
    reason: str = ""


class TaskProtection:
    """The endpoint at `agent_uri` (ECS_AGENT_URI). It never raises for an error of the endpoint."""

    def __init__(self, agent_uri: str) -> None:
        self._url = agent_uri + PATH

    def protect(self, minutes: int) -> Answer:
        """Ask for protection that expires after `minutes`."""
        return self._put({"ProtectionEnabled": True, "ExpiresInMinutes": minutes})

    def release(self) -> Answer:
        """Ask to end the protection."""
        return self._put({"ProtectionEnabled": False})

    def _put(self, state: dict[str, Any]) -> Answer:
        request = urllib.request.Request(  # noqa: S310 - Fargate gives the address
            self._url, method="PUT", data=json.dumps(state).encode(), headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                reason = f"HTTP {error.code} {_reason(error)}"
            return Answer(granted=None if error.code >= SERVER_ERROR else False, reason=reason)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Answer(granted=None, reason=f"{type(error).__name__}: {error}")
        return read_answer(answer, asked=state["ProtectionEnabled"])


def read_answer(answer: Any, *, asked: bool) -> Answer:
    """Interpret the body of a 200: granted only if it confirms the request, refused if it holds a `failure`."""
    if not isinstance(answer, dict):
        return Answer(granted=None, reason="the answer is not an object")
    protection = answer.get("protection")
    if isinstance(protection, dict) and protection.get("ProtectionEnabled") is asked:
        return Answer(granted=True)
    failure = answer.get("failure")
    if isinstance(failure, dict):
        return Answer(granted=False, reason=f"{failure.get('Reason')} {failure.get('Detail') or ''}".strip())
    return Answer(granted=None, reason="the answer does not say whether the task is protected")


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return error.read(LONGEST_REASON).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return ""
