"""What the whole stack is told: which image it runs, on which processor, and how long it keeps logs."""

from dataclasses import dataclass

from troposphere import Equals, If, Not, Parameter, Ref, Sub, Template

from stack.declare import Matching, OneOf, add_condition, add_parameter

IMAGE_GROUP = "Image"
LOGS_GROUP = "Logs"

# The periods that CloudWatch Logs accepts, up to a year.
LOG_RETENTION_DAYS = ("1", "3", "5", "7", "14", "30", "60", "90", "120", "150", "180", "365")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`architecture` is spelled for Lambda, `cpu_architecture` for ECS; `repository_arn` may hold a pattern."""

    image_uri: Ref
    repository_arn: If
    architecture: Ref
    cpu_architecture: If
    log_retention_days: Ref


def add_settings(t: Template) -> Settings:
    image_uri = add_parameter(
        t,
        "ImageUri",
        group=IMAGE_GROUP,
        label="Image",
        description="Image that every container runs, with its tag or digest.",
        constraint=Matching(
            regex=r"^[a-z0-9][a-zA-Z0-9.:/_-]*(:[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})$",
            says="an image name with a tag or a digest, such as registry/airflow-on-ecs:1.0",
        ),
    )
    architecture = add_parameter(
        t,
        "Architecture",
        group=IMAGE_GROUP,
        label="Processor architecture",
        description="Processor that the image was built for; tasks and functions run on it.",
        constraint=OneOf(values=("x86_64", "arm64")),
        default="x86_64",
    )
    retention = add_parameter(
        t,
        "LogRetentionDays",
        group=LOGS_GROUP,
        label="Days to keep container logs",
        description="Days after which CloudWatch deletes what containers and functions logged.",
        constraint=OneOf(values=LOG_RETENTION_DAYS),
        default="30",
    )
    is_arm = add_condition(t, "IsArm", Equals(Ref(architecture), "arm64"))
    return Settings(
        image_uri=Ref(image_uri),
        repository_arn=_repository_arn(t),
        architecture=Ref(architecture),
        cpu_architecture=If(is_arm, "ARM64", "X86_64"),
        log_retention_days=Ref(retention),
    )


def _repository_arn(t: Template) -> If:
    repository: Parameter = add_parameter(
        t,
        "ImageRepositoryArn",
        group=IMAGE_GROUP,
        label="Image repository",
        description="ARN of the image's ECR repository; empty allows any of this account and region.",
        constraint=Matching(
            regex=r"^(arn:[a-z-]+:ecr:[a-z0-9-]+:[0-9]{12}:repository/[a-z0-9][a-z0-9._/-]*)?$",
            says="the ARN of an ECR repository, or empty",
        ),
        default="",
    )
    has_repository = add_condition(t, "HasImageRepository", Not(Equals(Ref(repository), "")))
    # CloudFormation cannot take the repository's name out of the image's URI.
    own = Sub("arn:${AWS::Partition}:ecr:${AWS::Region}:${AWS::AccountId}:repository/*")
    return If(has_repository, Ref(repository), own)
