"""What a container says of itself to the fleet that does not change while it lives."""

from __future__ import annotations

import http.client
import json
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from agent import variables
from agent.versions import airflow_version
from fleet.registry import Code, Member, member_id

TIMEOUT_S = 2.0
ATTEMPTS = 5
PAUSE_S = 1.0


class MetadataUnavailableError(Exception):
    """The endpoint did not answer, or not with a task."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The unchanging part of a Member. A container has the name of its role, in every task definition."""

    role: str
    task_arn: str
    pool: str | None
    queues: tuple[str, ...]
    slots: int
    image_version: str
    airflow_version: str

    @property
    def task_id(self) -> str:
        """The task's own id."""
        return _task_id(self.task_arn)

    @property
    def member_id(self) -> str:
        """The id in the registry."""
        return member_id(self.task_id, self.role)

    def code(self, dags_hash: str) -> Code:
        """What the container runs. The hash comes with it: DAG files can be edited in a running container."""
        return Code(image_version=self.image_version, dags_hash=dags_hash, airflow_version=self.airflow_version)

    def answer(self, dags_hash: str) -> dict[str, str]:
        """What the container says when it is asked directly, which is nothing secret."""
        return {"member": self.member_id, **asdict(self.code(dags_hash))}

    def member(self, *, dags_hash: str, state: str, active: int, protected: bool, started_at: float) -> Member:
        """The record to report."""
        return Member(
            id=self.member_id,
            role=self.role,
            pool=self.pool,
            image_version=self.image_version,
            dags_hash=dags_hash,
            airflow_version=self.airflow_version,
            state=state,
            slots=self.slots,
            active=active,
            protected=protected,
            started_at=started_at,
            task_arn=self.task_arn,
            container=self.role,
            queues=self.queues,
        )


def read_code(environment: Mapping[str, str], dags_hash: str) -> Code:
    """What code a container with this environment runs. The hash comes with it: DAG files can be edited meanwhile."""
    return Code(
        image_version=environment.get(variables.IMAGE_VERSION, ""),
        dags_hash=dags_hash,
        airflow_version=airflow_version(),
    )


def read_task_id(environment: Mapping[str, str]) -> str:
    """The id of the task that the entrypoint found; KeyError without one."""
    return _task_id(environment[variables.TASK_ARN])


def read_identity(environment: Mapping[str, str]) -> Identity:
    """The identity that the entrypoint left in the environment; KeyError without one."""
    queues = environment.get(variables.QUEUES)
    return Identity(
        role=environment[variables.ROLE],
        task_arn=environment[variables.TASK_ARN],
        pool=environment.get(variables.POOL),
        queues=tuple(queues.split(",")) if queues else (),
        slots=int(environment.get(variables.SLOTS, "0")),
        image_version=environment.get(variables.IMAGE_VERSION, ""),
        airflow_version=airflow_version(),
    )


def read_task_arn(metadata_uri: str, *, attempts: int = ATTEMPTS, pause_s: float = PAUSE_S) -> str:
    """The ARN of the task whose container has this metadata URI; raises MetadataUnavailableError after all attempts."""
    url = f"{metadata_uri}/task"
    for attempt in range(attempts):
        if attempt:
            time.sleep(pause_s)
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - Fargate gives the address
                arn = json.load(answer)["TaskARN"]
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            reason = f"{type(error).__name__}: {error}"
            continue
        if isinstance(arn, str) and "/" in arn:
            return arn
        reason = f"TaskARN is {arn!r}"
    raise MetadataUnavailableError(f"the task metadata endpoint {url} gives no task ({reason})")


def _task_id(task_arn: str) -> str:
    return task_arn.rsplit("/", 1)[-1]
