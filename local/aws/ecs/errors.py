"""The errors that ECS answers with, by the names of its API model."""

from __future__ import annotations

from local.aws.backend.errors import ApiError


class InvalidParameter(ApiError):
    """A parameter is not acceptable."""

    code = "InvalidParameterException"


class ClusterNotFound(ApiError):
    """There is no such cluster."""

    code = "ClusterNotFoundException"

    def __init__(self) -> None:
        super().__init__("Cluster not found.")


class ServiceNotFound(ApiError):
    """There is no such service."""

    code = "ServiceNotFoundException"

    def __init__(self) -> None:
        super().__init__("Service not found.")


class ServiceNotActive(ApiError):
    """The service is being deleted."""

    code = "ServiceNotActiveException"

    def __init__(self) -> None:
        super().__init__("Service was not ACTIVE.")


class TaskProtected(ApiError):
    """Scaling chose a protected task. ECS's API has no such error, because its own scheduler never does that."""

    code = "TaskProtectedException"

    def __init__(self) -> None:
        super().__init__("Scaling cannot stop a task that is protected.")
