"""IAM statements, each for one purpose and on the resources it is given."""

from collections.abc import Sequence
from typing import Any

from troposphere import GetAtt, Ref, Sub, Template
from troposphere.iam import Policy, Role
from troposphere.logs import LogGroup
from troposphere.sns import Topic

from stack.declare import hole

Statement = dict[str, Any]
POLICY_VERSION = "2012-10-17"
TASKS = "ecs-tasks.amazonaws.com"
LAMBDA = "lambda.amazonaws.com"
ECS = "ecs.amazonaws.com"


def add_role(t: Template, title: str, *, service: str, statements: Sequence[Statement]) -> Role:
    """A role for `service` of this account and stack only."""
    trust: Statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    role: Role = Role(title, AssumeRolePolicyDocument={"Version": POLICY_VERSION, "Statement": [trust]})
    if statements:
        document = {"Version": POLICY_VERSION, "Statement": list(statements)}
        role.Policies = [Policy(PolicyName="permissions", PolicyDocument=document)]
    return t.add_resource(role)


def allow(*, actions: Sequence[str], resources: Sequence[Any], condition: Statement | None = None) -> Statement:
    statement: Statement = {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    if condition is not None:
        statement["Condition"] = condition
    return statement


def read_secrets(arns: Sequence[Any]) -> Statement:
    return allow(actions=["secretsmanager:GetSecretValue"], resources=arns)


def write_log_group(group: LogGroup) -> Statement:
    return allow(actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[group.get_att("Arn")])


def pull_image(repository_arn: Any) -> list[Statement]:
    return [
        # The token belongs to the registry as a whole: the API takes no resource.
        allow(actions=["ecr:GetAuthorizationToken"], resources=["*"]),
        allow(
            actions=["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            resources=[repository_arn],
        ),
    ]


def use_log_bucket(*, bucket_arn: GetAtt, prefix: str) -> list[Statement]:
    """Read, list, write, never delete, below the prefix."""
    objects = Sub(f"${{Bucket}}/{prefix}/*", Bucket=bucket_arn)
    return [
        allow(actions=["s3:GetObject", "s3:PutObject"], resources=[objects]),
        allow(
            actions=["s3:ListBucket"],
            resources=[bucket_arn],
            condition={"StringLike": {"s3:prefix": [prefix, f"{prefix}/*"]}},
        ),
    ]


def tasks_of(cluster: Any) -> Sub:
    """ARN pattern of the cluster's tasks."""
    return _in_cluster("task", cluster)


def _in_cluster(kind: str, cluster: Any) -> Sub:
    return Sub(f"arn:${{AWS::Partition}}:ecs:${{AWS::Region}}:${{AWS::AccountId}}:{kind}/{hole(cluster)}/*")


def protect_tasks(cluster: Any) -> Statement:
    return allow(actions=["ecs:GetTaskProtection", "ecs:UpdateTaskProtection"], resources=[tasks_of(cluster)])


def scale_services(*, services: Sequence[Any], cluster: Any) -> list[Statement]:
    """Set how many tasks a service has; tell, in a deployment, its old tasks from its new ones."""
    return [
        allow(actions=["ecs:DescribeServices", "ecs:UpdateService"], resources=[Ref(s) for s in services]),
        allow(actions=["ecs:DescribeTasks"], resources=[tasks_of(cluster)]),
    ]


def inspect_services(*, services: Sequence[Any], cluster: Any) -> list[Statement]:
    """Which tasks run, and from which image."""
    in_cluster = {"ArnEquals": {"ecs:cluster": cluster.get_att("Arn")}}
    return [
        allow(actions=["ecs:DescribeServices"], resources=[Ref(s) for s in services]),
        allow(actions=["ecs:DescribeTasks"], resources=[tasks_of(cluster)]),
        # Listing by service takes no resource, only the cluster as a condition.
        allow(actions=["ecs:ListTasks"], resources=["*"], condition=in_cluster),
    ]


def inspect_revisions(*, cluster: Any) -> list[Statement]:
    """Which tasks of a service's revision run, for one who cannot name the services."""
    in_cluster = {"ArnEquals": {"ecs:cluster": cluster.get_att("Arn")}}
    return [
        allow(actions=["ecs:DescribeServices"], resources=[_in_cluster("service", cluster)]),
        allow(actions=["ecs:DescribeServiceRevisions"], resources=[_in_cluster("service-revision", cluster)]),
        allow(actions=["ecs:DescribeTasks"], resources=[tasks_of(cluster)]),
        allow(actions=["ecs:ListTasks"], resources=["*"], condition=in_cluster),
    ]


def publish_to(topic: Topic) -> Statement:
    return allow(actions=["sns:Publish"], resources=[Ref(topic)])


# What Lambda itself does, with the function's role, to give the function an address in the VPC.
NETWORK_INTERFACE_ACTIONS = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)


def join_network() -> list[Statement]:
    """Lambda checks these permissions on all resources; the function's own code is denied them."""
    from_code: Statement = {"Null": {"lambda:SourceFunctionArn": "false"}}
    deny: Statement = {"Effect": "Deny", "Action": list(NETWORK_INTERFACE_ACTIONS), "Resource": "*"}
    return [
        allow(actions=NETWORK_INTERFACE_ACTIONS, resources=["*"]),
        deny | {"Condition": from_code},
    ]
