"""Settings of the whole stack: its image and processor, how long it keeps logs, and its protection."""

from troposphere import Equals, GetAtt, If, Not, NoValue, Parameter, Ref, Sub, Template

from stack.lib.parameters import YES_OR_NO, FormGroup, Matching, OneOf, add_condition
from stack.lib.settings import Settings

IMAGE_GROUP = "Image"
SAFETY_GROUP = "Safety"
LOGS_GROUP = "Logs"

# The periods that CloudWatch Logs accepts, up to a year.
LOG_RETENTION_DAYS = ("1", "3", "5", "7", "14", "30", "60", "90", "120", "150", "180", "365")


def add_settings(t: Template, *, key_arn: GetAtt) -> Settings:
    image = FormGroup(t, IMAGE_GROUP)
    image_uri = image.add(
        "ImageUri",
        label="Image",
        description="Image that every container runs, with its tag or digest.",
        constraint=Matching(
            regex=r"^[a-z0-9][a-zA-Z0-9.:/_-]*(:[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})$",
            must_be="an image name with a tag or a digest, such as registry/airflow-on-ecs:1.0",
        ),
    )
    architecture = image.add(
        "Architecture",
        label="Processor architecture",
        description="Processor that the image was built for; ECS tasks and functions run on it.",
        constraint=OneOf(values=("x86_64", "arm64")),
        default="x86_64",
    )
    retention = FormGroup(t, LOGS_GROUP).add(
        "LogRetentionDays",
        label="Days to keep container logs",
        description="Days after which CloudWatch deletes the logs of containers and functions.",
        constraint=OneOf(values=LOG_RETENTION_DAYS),
        default="30",
    )
    is_arm = add_condition(t, "IsArm", Equals(Ref(architecture), "arm64"))
    repository_arn = _add_repository(image)
    safety = FormGroup(t, SAFETY_GROUP)
    deletion_protection = safety.add(
        "DeletionProtection",
        label="Protect from deletion",
        description="Whether database and load balancer are protected from deletion until this is set to false. Not "
        "for the first deployment: if that fails, its rollback could not delete what is protected.",
        constraint=YES_OR_NO,
        default="false",
    )
    return Settings(
        image_uri=Ref(image_uri),
        repository_arn=repository_arn,
        architecture=Ref(architecture),
        cpu_architecture=If(is_arm, "ARM64", "X86_64"),
        log_retention_days=Ref(retention),
        key_arn=key_arn,
        deletion_protection=Ref(deletion_protection),
        permissions_boundary=_add_permissions_boundary(safety),
        has_exec=_add_exec(safety),
    )


def _add_permissions_boundary(form: FormGroup) -> If:
    boundary = form.add(
        "PermissionsBoundaryArn",
        label="Permissions boundary",
        description="ARN of a policy that limits every role of the stack; empty sets no boundary.",
        constraint=Matching(
            regex=r"^(arn:[a-z-]+:iam::([0-9]{12}|aws):policy/[A-Za-z0-9+=,.@_/-]+)?$",
            must_be="the ARN of an IAM policy, or empty",
        ),
        default="",
    )
    has_boundary = add_condition(form.template, "HasPermissionsBoundary", Not(Equals(Ref(boundary), "")))
    return If(has_boundary, Ref(boundary), NoValue)


def _add_exec(form: FormGroup) -> str:
    allowed = form.add(
        "ExecAllowed",
        label="Allow ECS Exec",
        description="Whether operators may open a shell in containers; their file systems are writable then.",
        constraint=YES_OR_NO,
        default="false",
    )
    return add_condition(form.template, "HasExec", Equals(Ref(allowed), "true"))


def _add_repository(form: FormGroup) -> If:
    repository: Parameter = form.add(
        "ImageRepositoryArn",
        label="Image repository",
        description="ARN of the image's ECR repository; empty allows any repository of this account and region.",
        constraint=Matching(
            regex=r"^(arn:[a-z-]+:ecr:[a-z0-9-]+:[0-9]{12}:repository/[a-z0-9][a-z0-9._/-]*)?$",
            must_be="the ARN of an ECR repository, or empty",
        ),
        default="",
    )
    has_repository = add_condition(form.template, "HasImageRepository", Not(Equals(Ref(repository), "")))
    # CloudFormation cannot extract the repository's name from the image's URI.
    own = Sub("arn:${AWS::Partition}:ecr:${AWS::Region}:${AWS::AccountId}:repository/*")
    return If(has_repository, Ref(repository), own)
