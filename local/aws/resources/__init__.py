"""The resource types that the local AWS API can create, one module a service."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from local.aws.resources import (
    application_autoscaling,
    cloudwatch,
    ec2,
    ecs,
    elasticache,
    elbv2,
    events,
    iam,
    kms,
    lambda_,
    logs,
    rds,
    s3,
    secretsmanager,
    security_groups,
    servicediscovery,
    sns,
)
from local.aws.resources.kind import Kind

_MODULES: tuple[ModuleType, ...] = (
    application_autoscaling,
    cloudwatch,
    ec2,
    ecs,
    elasticache,
    elbv2,
    events,
    iam,
    kms,
    lambda_,
    logs,
    rds,
    s3,
    secretsmanager,
    security_groups,
    servicediscovery,
    sns,
)


def kinds() -> Mapping[str, Kind]:
    """Every supported type by its name. Raises ValueError when two modules claim one."""
    found: dict[str, Kind] = {}
    for module in _MODULES:
        for kind in module.KINDS:
            if kind.type in found:
                raise ValueError(f"two modules define {kind.type}")
            found[kind.type] = kind
    return found
