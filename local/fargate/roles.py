"""Acts for ECS tasks with their roles: the task role is its containers', with the execution role ECS prepares them."""

from __future__ import annotations

import contextlib
import http
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import ClientError

from local.aws.iam.sessions import TASKS, RoleSession, Service
from local.fargate.definition import ContainerDefinition, TaskDefinition, resolve_secrets

EXISTS = "ResourceAlreadyExistsException"
ECS_AGENT = "ecs-agent"  # the name of the sessions of execution roles
MOST_LINES = 1000  # of one call to CloudWatch Logs
PATH_PARTS = 3  # of the path of a container's log: logs/SERVICE/FILE


class InitializationError(Exception):
    """ECS cannot start a task as its definition says; the reason as ECS begins it, in one line."""


@dataclass(frozen=True, kw_only=True)
class Grant:
    """A task's session of its task role. Who knows the `key` gets the credentials, so that it is a random one."""

    key: str
    session: RoleSession


class Roles:
    """The sessions of the roles of a cluster's tasks. Threads may share it."""

    def __init__(self, *, endpoint: str, region: str) -> None:
        self._service = Service(TASKS, endpoint=endpoint, region=region)
        self._grants: dict[str, Grant] = {}  # by the task's id
        # One session for all tasks of a role: a client takes tens of milliseconds to make.
        self._executions: dict[str, RoleSession] = {}
        self._lock = threading.Lock()

    def take(self, task_id: str, definition: TaskDefinition) -> Grant | None:
        """Assume the task role for a task, once; return None if it has none. Raises InitializationError."""
        if not definition.task_role:
            return None
        with self._lock:
            if task_id not in self._grants:
                with _initializing("assume the task role"):
                    session = RoleSession(self._service, definition.task_role, session=task_id)
                session.client("ecs")  # made now: a worker waits 3 s for its protection
                self._grants[task_id] = Grant(key=str(uuid.uuid4()), session=session)
            return self._grants[task_id]

    def drop(self, task_id: str) -> None:
        """Forget a task that has ended."""
        with self._lock:
            self._grants.pop(task_id, None)

    def of_task(self, task_id: str) -> RoleSession | None:
        """Return a task's session of its task role; None if it has none."""
        grant = self._grants.get(task_id)
        return grant.session if grant else None

    def by_key(self, key: str) -> RoleSession | None:
        """Return the session of that key; None if no task has it."""
        return next((grant.session for grant in list(self._grants.values()) if grant.key == key), None)

    def prepare(
        self, task_id: str, definition: TaskDefinition, container: ContainerDefinition, *, log_path: Path
    ) -> dict[str, str]:
        """Make a container's log stream, and return its secrets as variables, by the execution role.

        The stream gets one line, which says where the container's output is. Raises InitializationError when the role
        does not allow it, and ClientError or BotoCoreError when the API fails.
        """
        if not container.secrets and container.log is None:
            return {}
        if not definition.execution_role:
            raise InitializationError("the task definition has secrets or a log group, and no execution role")
        session = self._execution(definition.execution_role)
        with _initializing("pull secrets"):
            found = resolve_secrets(container.secrets, session.client("secretsmanager"))
        if container.log is not None:
            stream = _stream_of(container, task_id)
            with _initializing("write to the log group"):
                _open_stream(session, container.log.group, stream, place="/".join(log_path.parts[-PATH_PARTS:]))
        return found

    def deliver_log(self, task_id: str, definition: TaskDefinition, container: ContainerDefinition, text: str) -> None:
        """Send the last lines of a container's output to its log stream, after it has ended. Raises ClientError."""
        if container.log is None:
            return
        now, stream = int(time.time() * 1000), _stream_of(container, task_id)
        events = [{"timestamp": now, "message": line} for line in text.splitlines()[-MOST_LINES:] if line.strip()]
        if events:
            logs = self._execution(definition.execution_role).client("logs")
            logs.put_log_events(logGroupName=container.log.group, logStreamName=stream, logEvents=events)

    def _execution(self, role: str) -> RoleSession:
        with self._lock:
            if role not in self._executions:
                with _initializing("assume the execution role"):
                    self._executions[role] = RoleSession(self._service, role, session=ECS_AGENT)
            return self._executions[role]


def _stream_of(container: ContainerDefinition, task_id: str) -> str:
    """Return the name of a container's log stream, as the log driver makes it."""
    return f"{container.log.prefix if container.log else ''}/{container.name}/{task_id}"


def _open_stream(session: RoleSession, group: str, stream: str, *, place: str) -> None:
    """Make a log stream, and write where the output is: containers themselves write to files."""
    logs, where = session.client("logs"), {"logGroupName": group, "logStreamName": stream}
    try:
        logs.create_log_stream(**where)
    except ClientError as error:
        if error.response["Error"]["Code"] != EXISTS:  # an earlier attempt to start the container made it
            raise
    said = f"The output of this container is in {place} in the state folder of the local stack."
    logs.put_log_events(**where, logEvents=[{"timestamp": int(time.time() * 1000), "message": said}])


@contextlib.contextmanager
def _initializing(what: str) -> Iterator[None]:
    """Raise InitializationError for a call that AWS refused; an error of the API itself is raised as it is."""
    try:
        yield
    except ClientError as error:
        answer, said = error.response["ResponseMetadata"], error.response["Error"]
        if answer["HTTPStatusCode"] >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise
        raise InitializationError(
            f"ResourceInitializationError: unable to {what}: {said['Code']}: {said['Message']}"
        ) from error
