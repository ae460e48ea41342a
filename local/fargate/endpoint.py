"""Serves Fargate's endpoints inside a task: metadata (v4), credentials and the ECS agent's task protection."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.fargate.roles import Grant, Roles
from local.servers.threads import HttpServer

log = logging.getLogger(__name__)

DEFAULT_EXPIRY_MINUTES = 120
Answer = tuple[int, dict[str, Any]]
CREDENTIALS_VARIABLE, CREDENTIALS_PATH = "AWS_CONTAINER_CREDENTIALS_FULL_URI", "/v2/credentials"
PROTECTION_PATH = "task-protection/v1/state"


class Endpoint:
    """One HTTP server for all tasks.

    The path of the URIs that a container gets holds its task's id, that of the credentials their key.
    """

    def __init__(self, *, roles: Roles, cluster: str, metadata_of: Callable[[str], dict[str, Any] | None]) -> None:
        self._roles, self._cluster, self._metadata_of = roles, cluster, metadata_of
        self._failure: Answer | None = None
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(*endpoint.get(self.path))

            def do_PUT(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                self._answer(*endpoint.put(self.path, self.rfile.read(length)))

            def _answer(self, status: int, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                log.debug(format, *args)

        self._server = HttpServer(Handler, name="ecs-agent-endpoint")

    def environment(self, task_id: str, container: str, grant: Grant | None) -> dict[str, str]:
        """Return the variables that Fargate injects into a container; `grant`: of the task role, if the task has one.

        That of the credentials names a path on Fargate, where SDKs know the address.
        """
        base = f"http://127.0.0.1:{self._server.server_port}"
        credentials = {} if grant is None else {CREDENTIALS_VARIABLE: f"{base}{CREDENTIALS_PATH}/{grant.key}"}
        return {
            **credentials,
            "ECS_AGENT_URI": f"{base}/api/{task_id}",
            "ECS_CONTAINER_METADATA_URI_V4": f"{base}/v4/{task_id}/{container}",
        }

    def fail_with(self, status: int, body: dict[str, Any]) -> None:
        """Give this answer to every request about protection, without calling ECS, until `recover()`."""
        self._failure = (status, body)

    def recover(self) -> None:
        """End `fail_with()`."""
        self._failure = None

    def close(self) -> None:
        """Stop serving."""
        self._server.close()

    def get(self, path: str) -> Answer:
        """Answer a GET: the metadata of a container or of its task, its role's credentials, or its protection."""
        match path.strip("/").split("/"):
            case ["v2", "credentials", key]:
                return self._credentials(key)
            case ["v4", task_id, *rest] if (metadata := self._metadata_of(task_id)) and len(rest) in (1, 2):
                container = {"Name": rest[0], "DockerName": rest[0], "Labels": {}, "TaskARN": metadata["TaskARN"]}
                return 200, (metadata if rest[1:] == ["task"] else container)
            case ["api", task_id, *rest] if "/".join(rest) == PROTECTION_PATH and (task := self._metadata_of(task_id)):
                return self._protection(task, "get_task_protection")
            case _:
                return 404, _error("ResourceNotFoundException", "no such task")

    def put(self, path: str, body: bytes) -> Answer:
        """Answer a PUT of task protection as the ECS agent does: `protection`, `failure` or `error`."""
        match path.strip("/").split("/"):
            case ["api", task_id, *rest] if "/".join(rest) == PROTECTION_PATH and (task := self._metadata_of(task_id)):
                try:
                    asked = json.loads(body)
                    enabled = bool(asked["ProtectionEnabled"])
                    minutes = int(asked.get("ExpiresInMinutes") or DEFAULT_EXPIRY_MINUTES)
                except (ValueError, KeyError, TypeError):
                    return 400, _error("InvalidParameterException", "ProtectionEnabled must be true or false")
                more = {"expiresInMinutes": minutes} if enabled else {}
                return self._protection(task, "update_task_protection", protectionEnabled=enabled, **more)
            case _:
                return 404, _error("ResourceNotFoundException", "no such task")

    def _credentials(self, key: str) -> Answer:
        session = self._roles.by_key(key)
        if session is None:
            return 404, {"code": "InvalidIdInRequest", "message": "no task has credentials of this id"}
        try:
            return 200, dict(session.credentials().document)
        except (BotoCoreError, ClientError) as error:
            return 500, {"code": "ServerException", "message": str(error)}

    def _protection(self, task: dict[str, Any], verb: str, **more: Any) -> Answer:
        """Ask ECS with the task role, as the ECS agent does."""
        if (failure := self._failure) is not None:
            return failure
        session = self._roles.of_task(task["TaskARN"].rpartition("/")[2])
        if session is None:
            return 400, _error("AccessDeniedException", "the task has no task role")
        try:
            answer = getattr(session.client("ecs"), verb)(cluster=self._cluster, tasks=[task["TaskARN"]], **more)
        except ClientError as error:
            said, status = error.response["Error"], error.response["ResponseMetadata"]["HTTPStatusCode"]
            return (400 if status < 500 else 500), _error(said["Code"], said["Message"])
        except BotoCoreError as error:
            return 500, _error("ServerException", str(error))
        for failure in answer.get("failures") or ():
            named = {"Arn": failure.get("arn"), "Reason": failure.get("reason"), "Detail": failure.get("detail")}
            return 200, {"failure": named}
        protection = answer["protectedTasks"][0]
        expires = protection.get("expirationDate")
        state = {"TaskArn": protection["taskArn"], "ProtectionEnabled": protection["protectionEnabled"]}
        return 200, {"protection": {**state, **({"ExpirationDate": expires.isoformat()} if expires else {})}}


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"Code": code, "Message": message}}
