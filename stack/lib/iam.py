"""IAM statements, each with one purpose and limited to the resources that it is given."""

from collections.abc import Sequence
from typing import Any

from troposphere import GetAtt, If, Ref, Sub, Template
from troposphere.iam import ManagedPolicy, Policy, PolicyType, Role
from troposphere.logs import LogGroup
from troposphere.sns import Topic

from stack.lib.optional import if_added
from stack.lib.parameters import placeholder, suppress

Statement = dict[str, Any]
POLICY_VERSION = "2012-10-17"
TASKS = "ecs-tasks.amazonaws.com"
LAMBDA = "lambda.amazonaws.com"
SCHEDULER = "scheduler.amazonaws.com"
POOL_TAG, NO_POOL = "FleetPool", "-"  # of a service, which gives it to its ECS tasks


def add_role(
    t: Template,
    title: str,
    *,
    service: str,
    statements: Sequence[Statement],
    boundary: If,
    shared: Sequence[ManagedPolicy] = (),
) -> Role:
    """Add a role for `service` with its own statements and the stack's `shared` policies, limited by `boundary`."""
    trust: Statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    role: Role = Role(
        title,
        AssumeRolePolicyDocument={"Version": POLICY_VERSION, "Statement": [trust]},
        PermissionsBoundary=boundary,
    )
    if statements:
        document = {"Version": POLICY_VERSION, "Statement": list(statements)}
        role.Policies = [Policy(PolicyName="permissions", PolicyDocument=document)]
    if shared:
        role.ManagedPolicyArns = [Ref(policy) for policy in shared]
    return t.add_resource(role)


def allow(*, actions: Sequence[str], resources: Sequence[Any], condition: Statement | None = None) -> Statement:
    statement: Statement = {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    if condition is not None:
        statement["Condition"] = condition
    return statement


def allow_service(service: str, *, action: str | list[str], resource: Any) -> Statement:
    """Allow an AWS service, in the policy of the resource itself, what it does for this account."""
    return {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": action,
        "Resource": resource,
        "Condition": {"StringEquals": {"aws:SourceAccount": Sub("${AWS::AccountId}")}},
    }


def read_secrets(arns: Sequence[Any], *, key_arn: GetAtt) -> list[Statement]:
    """Allow reading secrets that the stack's key encrypts."""
    return [
        allow(actions=["secretsmanager:GetSecretValue"], resources=arns),
        allow(actions=["kms:Decrypt"], resources=[key_arn]),
    ]


def write_log_group(group: LogGroup) -> Statement:
    return allow(actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[group.get_att("Arn")])


def pull_image(repository_arn: Any) -> list[Statement]:
    return [
        # The token is valid for the whole registry: the API takes no resource.
        allow(actions=["ecr:GetAuthorizationToken"], resources=["*"]),
        allow(
            actions=["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            resources=[repository_arn],
        ),
    ]


def use_log_bucket(*, bucket_arn: GetAtt, prefix: str, key_arn: GetAtt) -> list[Statement]:
    """Allow reading, listing and writing below the prefix, but not deleting."""
    objects = Sub(f"${{Bucket}}/{prefix}/*", Bucket=bucket_arn)
    return [
        allow(actions=["s3:GetObject", "s3:PutObject"], resources=[objects]),
        allow(
            actions=["s3:ListBucket"],
            resources=[bucket_arn],
            condition={"StringLike": {"s3:prefix": [prefix, f"{prefix}/*"]}},
        ),
        allow(actions=["kms:Decrypt", "kms:GenerateDataKey"], resources=[key_arn]),
    ]


def read_bucket(bucket_arn: GetAtt) -> list[Statement]:
    """Allow reading all objects. S3 says that an object is missing only to who may list; others it refuses."""
    return [
        allow(actions=["s3:GetObject"], resources=[Sub("${Bucket}/*", Bucket=bucket_arn)]),
        allow(actions=["s3:ListBucket"], resources=[bucket_arn]),
    ]


def tasks_of(cluster: Any) -> Sub:
    """Return the ARN pattern of the cluster's ECS tasks."""
    return _in_cluster("task", cluster)


def _in_cluster(kind: str, cluster: Any) -> Sub:
    return Sub(f"arn:${{AWS::Partition}}:ecs:${{AWS::Region}}:${{AWS::AccountId}}:{kind}/{placeholder(cluster)}/*")


def protect_tasks(cluster: Any, *, pool: str) -> Statement:
    """Allow changing the protection of the workers of one pool: a worker's role is also that of its tasks' code.

    A worker without the tag, of a release before it, may be changed by all.
    """
    own = {"StringEqualsIfExists": {f"aws:ResourceTag/{POOL_TAG}": pool}}
    return allow(actions=["ecs:UpdateTaskProtection"], resources=[tasks_of(cluster)], condition=own)


def services_of(services: Sequence[Any], *, cluster: Any) -> list[Any]:
    """Return the ARN patterns of the services: a function's role exists before them, see `name_beginning`.

    That of an optional service is left out with it.
    """
    arn = "arn:${AWS::Partition}:ecs:${AWS::Region}:${AWS::AccountId}:service"
    return [if_added(service, Sub(f"{arn}/{placeholder(cluster)}/{name_beginning(service)}*")) for service in services]


def name_beginning(resource: Any) -> str:
    """Return, for an Fn::Sub text, how the name begins that CloudFormation makes: a dash and random characters follow.

    Who names a resource so does not depend on it, and may come before it.
    """
    return f"${{AWS::StackName}}-{resource.title}"


def pass_to_tasks(*, roles: Sequence[Role]) -> Statement:
    """Allow starting ECS tasks with these roles, and no other AWS service with them."""
    return allow(
        actions=["iam:PassRole"],
        resources=[role.get_att("Arn") for role in roles],
        condition={"StringEquals": {"iam:PassedToService": TASKS}},
    )


def run_task(*, definition: Any, roles: Sequence[Role], cluster: Any) -> list[Statement]:
    """Allow starting ECS tasks of this revision of a task definition, in this cluster, with the roles that it names."""
    return [
        allow(
            actions=["ecs:RunTask"],
            resources=[Ref(definition)],
            condition={"ArnEquals": {"ecs:cluster": cluster.get_att("Arn")}},
        ),
        pass_to_tasks(roles=roles),
    ]


def scale_services(*, services: Sequence[Any], cluster: Any) -> list[Statement]:
    """Allow setting the desired count and the revision, and asking which ECS tasks stand behind records."""
    return [
        allow(actions=["ecs:DescribeServices", "ecs:UpdateService"], resources=services_of(services, cluster=cluster)),
        allow(actions=["ecs:DescribeTasks"], resources=[tasks_of(cluster)]),
        list_in(cluster, "ecs:ListServices"),
    ]


def inspect_services(*, services: Sequence[Any], cluster: Any) -> list[Statement]:
    """Allow reading which ECS tasks run, and from which image."""
    return [
        allow(actions=["ecs:DescribeServices"], resources=services_of(services, cluster=cluster)),
        allow(actions=["ecs:DescribeTasks"], resources=[tasks_of(cluster)]),
        list_in(cluster, "ecs:ListServices", "ecs:ListTasks"),
    ]


def list_in(cluster: Any, *actions: str) -> Statement:
    """Allow listing what a cluster has: the API takes no resource, so only a condition can limit it."""
    return allow(actions=actions, resources=["*"], condition={"ArnEquals": {"ecs:cluster": cluster.get_att("Arn")}})


def publish_to(topic: Topic, *, key_arn: GetAtt) -> list[Statement]:
    """Allow publishing to a topic that the stack's key encrypts."""
    return [
        allow(actions=["sns:Publish"], resources=[Ref(topic)]),
        allow(actions=["kms:Decrypt", "kms:GenerateDataKey"], resources=[key_arn]),
    ]


# Lambda itself calls these with the function's role, to give the function an address in the VPC.
NETWORK_INTERFACE_ACTIONS = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)


def add_network_policy(t: Template, title: str) -> ManagedPolicy:
    """Add the permissions that Lambda requires on all resources, and deny them to the functions' own code."""
    from_code: Statement = {"Null": {"lambda:SourceFunctionArn": "false"}}
    deny: Statement = {"Effect": "Deny", "Action": list(NETWORK_INTERFACE_ACTIONS), "Resource": "*"}
    statements = [allow(actions=NETWORK_INTERFACE_ACTIONS, resources=["*"]), deny | {"Condition": from_code}]
    policy = t.add_resource(ManagedPolicy(title, PolicyDocument={"Version": POLICY_VERSION, "Statement": statements}))
    suppress(
        policy, checkov={"CKV_AWS_111": "Lambda requires these on all resources; the functions' code is denied them."}
    )
    return policy


def add_policy(t: Template, title: str, *, role: Role, statements: Sequence[Statement], condition: str) -> None:
    """Add a policy to a role under a condition of the template."""
    t.add_resource(
        PolicyType(
            title,
            Condition=condition,
            PolicyName=title,
            PolicyDocument={"Version": POLICY_VERSION, "Statement": list(statements)},
            Roles=[Ref(role)],
        )
    )


def use_ecs_exec() -> Statement:
    """Allow what ECS Exec needs inside the ECS task; the API of Session Manager's channels takes no resource."""
    channels = ("CreateControlChannel", "CreateDataChannel", "OpenControlChannel", "OpenDataChannel")
    return allow(actions=[f"ssmmessages:{action}" for action in channels], resources=["*"])


def read_secrets_below(prefix: Any) -> Statement:
    """Allow reading secrets whose names begin with `prefix` and a slash.

    They must be encrypted with the account's own key for secrets: no other key is allowed here.
    """
    named = Sub(
        "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:${Prefix}/*", Prefix=prefix
    )
    return allow(actions=["secretsmanager:GetSecretValue"], resources=[named])


def write_os_metrics() -> Statement:
    """Allow RDS itself to write into its own log group with a role of this stack."""
    group = Sub("arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:RDSOSMetrics:*")
    actions = ("CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents", "PutRetentionPolicy")
    return allow(actions=[f"logs:{action}" for action in actions], resources=[group])
