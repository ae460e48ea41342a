"""The errors that ECS answers with, by the names of its API model."""

from __future__ import annotations

from local.aws.backend.errors import ApiError


class InvalidParameter(ApiError):
    code = "InvalidParameterException"


class ClusterNotFound(ApiError):
    code = "ClusterNotFoundException"

    def __init__(self) -> None:
        super().__init__("Cluster not found.")


class ServiceNotFound(ApiError):
    code = "ServiceNotFoundException"

    def __init__(self) -> None:
        super().__init__("Service not found.")


class ServiceNotActive(ApiError):
    code = "ServiceNotActiveException"

    def __init__(self) -> None:
        super().__init__("Service was not ACTIVE.")


class TaskProtected(ApiError):
    """Not an error of ECS's API: it is how this control plane refuses what ECS's own scheduler never does."""

    code = "TaskProtectedException"

    def __init__(self) -> None:
        super().__init__("Scaling cannot stop a task that is protected.")
