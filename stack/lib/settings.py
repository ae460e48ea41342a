"""The stack's settings that the helpers of this folder read."""

from dataclasses import dataclass

from troposphere import GetAtt, If, Ref


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`architecture` has Lambda's spelling, `cpu_architecture` that of ECS; `repository_arn` may be a pattern.

    `has_exec` is the condition under which operators may open a shell in a container.
    """

    image_uri: Ref
    repository_arn: If
    architecture: Ref
    cpu_architecture: If
    log_retention_days: Ref
    key_arn: GetAtt
    deletion_protection: Ref
    permissions_boundary: If
    has_exec: str
