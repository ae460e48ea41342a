"""The part of a member's record that does not change while its container runs."""

from __future__ import annotations

import http.client
import json
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from agent import variables
from agent.addresses import own_address
from agent.versions import airflow_version
from fleet.member import WORKER, Code, Member, member_id

TIMEOUT_S = 2.0
ATTEMPTS = 5
PAUSE_S = 1.0


class MetadataUnavailableError(Exception):
    """The endpoint did not answer, or its answer names no task."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The unchanging part of a Member. In every task definition a container is named after its role."""

    role: str
    task_arn: str
    pool: str | None
    queues: tuple[str, ...]
    slots: int
    image_version: str
    airflow_version: str

    @property
    def task_id(self) -> str:
        """Return the id of the ECS task."""
        return _task_id(self.task_arn)

    @property
    def member_id(self) -> str:
        """Return the id in the registry."""
        return member_id(self.task_id, self.role)

    def code(self, dags_hash: str) -> Code:
        """Return the container's code. The hash is an argument: DAG files can be edited in a running container."""
        return Code(image_version=self.image_version, dags_hash=dags_hash, airflow_version=self.airflow_version)

    def answer(self, dags_hash: str) -> dict[str, str]:
        """Return the answer to a direct request, which holds nothing secret."""
        return {"member": self.member_id, **asdict(self.code(dags_hash))}

    def member(
        self,
        *,
        dags_hash: str,
        state: str,
        active: int,
        protected: bool,
        started_at: float,
        trouble: str = "",
        left_behind: int = 0,
        slots: int | None = None,
    ) -> Member:
        """Return the record to report, which has all fields of an identity. `slots`: if fewer are used at present."""
        fields = asdict(self)
        if slots is not None:
            fields["slots"] = slots
        return Member(
            id=self.member_id,
            container=self.role,
            dags_hash=dags_hash,
            state=state,
            active=active,
            protected=protected,
            started_at=started_at,
            trouble=trouble,
            left_behind=left_behind,
            declared_slots=self.slots,
            host=own_address() if self.role == WORKER else "",
            **fields,
        )


def read_code(environment: Mapping[str, str], dags_hash: str) -> Code:
    """Return the code of a container with this environment. The hash is an argument: DAG files can be edited."""
    return Code(
        image_version=environment.get(variables.IMAGE_VERSION, ""),
        dags_hash=dags_hash,
        airflow_version=airflow_version(),
    )


def read_task_id(environment: Mapping[str, str]) -> str:
    """Return the id of the ECS task that the entrypoint found; raise KeyError without one."""
    return _task_id(environment[variables.TASK_ARN])


def read_identity(environment: Mapping[str, str]) -> Identity:
    """Return the identity that the entrypoint put into the environment; raise KeyError without one."""
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
    """Return the ARN of the ECS task with this metadata URI; raise MetadataUnavailableError after all attempts."""
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
