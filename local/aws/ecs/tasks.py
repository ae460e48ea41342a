"""A task as the control plane knows it: what the agent has reported, not the process."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from local.aws.ecs.capacity import LAUNCH_TYPE, PROVIDER

STARTING = ("PROVISIONING", "PENDING", "ACTIVATING")
STATUSES = (*STARTING, "RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED")


@dataclass(kw_only=True)
class Task:
    """Mutable state of one task. Callers give the times; no clock is read here."""

    id: str
    arn: str
    cluster_arn: str
    definition: str
    group: str | None
    started_by: str | None
    created_at: datetime
    containers: dict[str, dict[str, Any]]
    request: Mapping[str, Any]
    cpu: str | None = None
    memory: str | None = None
    desired_status: str = "RUNNING"
    last_status: str = "PROVISIONING"
    started_at: datetime | None = None
    stopping_at: datetime | None = None
    stopped_at: datetime | None = None
    stop_code: str | None = None
    stopped_reason: str | None = None
    protected_until: datetime | None = None
    version: int = 1
    attachment_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def living(self) -> bool:
        """Whether it has not stopped."""
        return self.last_status != "STOPPED"

    @property
    def wanted(self) -> bool:
        """Whether it has not stopped and was not asked to stop."""
        return self.living and self.desired_status == "RUNNING"

    def is_protected(self, now: datetime) -> bool:
        """Whether its protection has not ended by `now`."""
        return self.living and self.protected_until is not None and self.protected_until > now

    def protect(self, *, now: datetime, minutes: int) -> None:
        """Protect it from scale-in."""
        self.protected_until = now + timedelta(minutes=minutes)
        self.version += 1

    def unprotect(self) -> None:
        """End its protection."""
        self.protected_until = None
        self.version += 1

    def stop(self, *, now: datetime, code: str, reason: str | None) -> None:
        """Ask it to stop: the agent sees desiredStatus STOPPED, and reports when it has stopped."""
        if not self.living or self.desired_status == "STOPPED":
            return
        self.desired_status, self.stop_code, self.stopped_reason, self.stopping_at = "STOPPED", code, reason, now
        self.version += 1

    def report(
        self, *, now: datetime, status: str | None, reason: str | None, containers: Sequence[Mapping[str, Any]]
    ) -> None:
        """Take the agent's report. A stopped task stays stopped, even if a report arrives late."""
        if not self.living:
            return
        for change in containers:
            self._report_container(change)
        if status is None:
            return
        self.last_status = status
        self.version += 1
        if status == "RUNNING":
            self.started_at = self.started_at or now
        if status == "STOPPED":
            if self.desired_status == "RUNNING":
                self.stop_code = "EssentialContainerExited" if self.started_at else "TaskFailedToStart"
                self.stopping_at = now
            self.desired_status, self.stopped_at, self.protected_until = "STOPPED", now, None
            self.stopped_reason = self.stopped_reason or reason
        for container in self.containers.values():
            # A container that was reported on its own has its own status: an init container stops before the others.
            if container["lastStatus"] != "STOPPED" and status in ("RUNNING", "STOPPED"):
                container["lastStatus"] = status

    def _report_container(self, change: Mapping[str, Any]) -> None:
        container = self.containers.get(change.get("containerName", ""))
        if container is None:
            return
        members = {
            "status": "lastStatus",
            "exitCode": "exitCode",
            "reason": "reason",
            "runtimeId": "runtimeId",
            "imageDigest": "imageDigest",
            "networkBindings": "networkBindings",
        }
        container.update({members[key]: value for key, value in change.items() if key in members})

    def described(self) -> dict[str, Any]:
        """Return the task as DescribeTasks gives it."""
        copied = (LAUNCH_TYPE, PROVIDER, "platformVersion", "overrides", "tags", "enableExecuteCommand")
        described = {key: self.request[key] for key in copied if self.request.get(key) is not None}
        network = (self.request.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
        return {
            LAUNCH_TYPE: "FARGATE",
            "overrides": {"containerOverrides": []},
            "tags": [],
            **described,
            "taskArn": self.arn,
            "clusterArn": self.cluster_arn,
            "taskDefinitionArn": self.definition,
            "group": self.group,
            "startedBy": self.started_by,
            "desiredStatus": self.desired_status,
            "lastStatus": self.last_status,
            "healthStatus": "HEALTHY" if self.last_status == "RUNNING" else "UNKNOWN",
            "connectivity": "CONNECTED",
            "cpu": self.cpu,
            "memory": self.memory,
            "createdAt": self.created_at,
            "startedAt": self.started_at,
            "stoppingAt": self.stopping_at,
            "stoppedAt": self.stopped_at,
            "stopCode": self.stop_code,
            "stoppedReason": self.stopped_reason,
            "version": self.version,
            "availabilityZone": None,
            "containers": [{**container} for container in self.containers.values()],
            "attachments": [
                {
                    "id": self.attachment_id,
                    "type": "ElasticNetworkInterface",
                    "status": "DELETED" if not self.living else "ATTACHED",
                    "details": [{"name": "subnetId", "value": subnet} for subnet in network.get("subnets", [])[:1]],
                }
            ],
        }


def containers_of(definition: Mapping[str, Any], *, task_arn: str) -> dict[str, dict[str, Any]]:
    """Return the task's containers by name, before any report."""
    prefix = task_arn.replace(":task/", ":container/")
    return {
        container["name"]: {
            "containerArn": f"{prefix}/{uuid.uuid4()}",
            "taskArn": task_arn,
            "name": container["name"],
            "image": container["image"],
            "imageDigest": image_digest(container["image"]),
            "lastStatus": "PENDING",
            "healthStatus": "UNKNOWN",
            "networkInterfaces": [],
            "cpu": str(container.get("cpu", 0)),
        }
        for container in definition["containerDefinitions"]
    }


def image_digest(image: str) -> str:
    """Return the digest that the image is pinned to, else a digest of its name, because there is no registry to ask."""
    _, separator, digest = image.partition("@")
    return digest if separator else f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"
