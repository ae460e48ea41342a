"""The resource types that the embedded AWS API can create, one module for each service."""

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
    """Return every supported type by its name. Raises ValueError when two modules define one."""
    found: dict[str, Kind] = {}
    for module in _MODULES:
        for kind in module.KINDS:
            if kind.type in found:
                raise ValueError(f"two modules define {kind.type}")
            found[kind.type] = kind
    return found
