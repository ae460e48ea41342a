"""Says what a call is a request for: IAM's actions, on which resources, with which keys of the context.

By the service authorization reference. A call that is not listed here is one on `*`, so that a role whose policy names
resources is refused: then its line is added.
"""

from __future__ import annotations

import email
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import getaddresses, parseaddr

from local.aws.iam.calls import Call
from local.aws.iam.sessions import TASKS

ANY = "*"
CLOUDFORMATION = "cloudformation.amazonaws.com"
TRANSFORM = "transform/Serverless-2016-10-31"
# Everyone may ask who they are.
FREE = frozenset({"sts:GetCallerIdentity"})
ECS_SERVICE, ECS_TASK = "service", "task"


@dataclass(frozen=True, kw_only=True)
class Need:
    """One action on one resource, with its own keys of the context, in lower case."""

    action: str
    resource: str
    context: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the call is made. `stack_of`: returns the ARN of a change set's stack, empty if there is none.

    `identity_of`: returns the identity of SES with which an address sends.
    `roles_of`: returns the roles of a task definition, which is named by its ARN, its family, or both with a revision.
    """

    partition: str
    account: str
    region: str
    stack_of: Callable[[str], str] = str
    identity_of: Callable[[str], str] = str
    roles_of: Callable[[str], Sequence[str]] = lambda _definition: ()

    def arn(self, service: str, rest: str) -> str:
        """Return an ARN of this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{rest}"


def needs_of(call: Call, place: Place) -> list[Need]:
    """Return all that the caller needs to be allowed, in the order in which AWS refuses."""
    if call.action in FREE:
        return []
    if call.service == "s3":
        return list(_s3(call, place))
    describe = TABLE.get(call.action)
    if describe is None:
        return [Need(action=call.action, resource=ANY)]
    return list(describe(call, place))


def _named(service: str, kind: str, parameter: str) -> Callable[[Call, Place], Iterator[Need]]:
    """Return the needs of a call that names resources by their names or ARNs; of one that names none, all of them."""

    def needs(call: Call, place: Place) -> Iterator[Need]:
        names = call.list(parameter) or [call.text(parameter) or ANY]
        for name in names:
            arn = name if str(name).startswith("arn:") else place.arn(service, f"{kind}{name}")
            yield Need(action=call.action, resource=arn)

    return needs


def _ecs(kind: str, parameter: str) -> Callable[[Call, Place], Iterator[Need]]:
    def needs(call: Call, place: Place) -> Iterator[Need]:
        cluster = call.text("cluster").rpartition("/")[2] or "default"
        context = {"ecs:cluster": place.arn("ecs", f"cluster/{cluster}")}
        for name in call.list(parameter) or [call.text(parameter)]:
            arn = name if name.startswith("arn:") else place.arn("ecs", f"{kind}/{cluster}/{name}")
            yield Need(action=call.action, resource=arn, context=context)

    return needs


def _service_update(call: Call, place: Place) -> Iterator[Need]:
    """Return the needs of a change of a service: who sets its task definition passes that one's roles to its tasks."""
    yield from _ecs(ECS_SERVICE, "service")(call, place)
    if definition := call.text("taskDefinition"):
        for role in place.roles_of(definition):
            yield Need(action="iam:PassRole", resource=role, context={"iam:passedtoservice": TASKS})


def _run(call: Call, place: Place) -> Iterator[Need]:
    """Return the needs of starting ECS tasks: who starts them passes their roles, or those that override them."""
    cluster, definition = call.text("cluster").rpartition("/")[2] or "default", call.text("taskDefinition")
    # A family stands for its newest revision, whose number no policy can know.
    revision = definition if ":" in definition else f"{definition}:1"
    arn = revision if revision.startswith("arn:") else place.arn("ecs", f"task-definition/{revision}")
    yield Need(action=call.action, resource=arn, context={"ecs:cluster": place.arn("ecs", f"cluster/{cluster}")})
    overrides = call.parameters.get("overrides") or {}
    named = filter(None, map(overrides.get, ("taskRoleArn", "executionRoleArn")))
    for role in dict.fromkeys((*place.roles_of(definition), *named)):
        yield Need(action="iam:PassRole", resource=role, context={"iam:passedtoservice": TASKS})


def _batch_job(call: Call, place: Place) -> Iterator[Need]:
    """Return the needs of submitting a job: on its definition, with a revision in any case, and on its queue."""
    for kind, parameter, revision in (("job-definition", "jobDefinition", ":1"), ("job-queue", "jobQueue", "")):
        name = call.text(parameter)
        arn = name if name.startswith("arn:") else place.arn("batch", f"{kind}/{name}")
        yield Need(action=call.action, resource=arn if ":" in name else arn + revision)


def _ecs_cluster_only(call: Call, place: Place) -> Iterator[Need]:
    cluster = call.text("cluster").rpartition("/")[2] or "default"
    yield Need(action=call.action, resource=ANY, context={"ecs:cluster": place.arn("ecs", f"cluster/{cluster}")})


def _ecs_tagging(call: Call, place: Place) -> Iterator[Need]:
    del place
    tags = {str(tag["key"]): str(tag.get("value", "")) for tag in call.list("tags")}
    keys = tuple(tags) or tuple(map(str, call.list("tagKeys")))
    context = {f"aws:requesttag/{name.lower()}": value for name, value in tags.items()}
    yield Need(action=call.action, resource=call.text("resourceArn"), context={**context, "aws:tagkeys": keys})


def _scalable_target(call: Call, place: Place) -> Iterator[Need]:
    context = {
        "application-autoscaling:service-namespace": call.text("ServiceNamespace"),
        "application-autoscaling:scalable-dimension": call.text("ScalableDimension"),
    }
    arn = place.arn("application-autoscaling", "scalable-target/0123")  # AWS makes up the id
    yield Need(action=call.action, resource=arn, context=context)


def _snapshot(call: Call, place: Place) -> Iterator[Need]:
    """Return the needs of making a snapshot: on it, on its database, and for its tags."""
    snapshot = place.arn("rds", f"snapshot:{call.text('DBSnapshotIdentifier')}")
    yield Need(action=call.action, resource=place.arn("rds", f"db:{call.text('DBInstanceIdentifier')}"))
    yield Need(action=call.action, resource=snapshot)
    if any(name.startswith("Tags.") for name in call.parameters):
        yield Need(action="rds:AddTagsToResource", resource=snapshot)


def _stack(call: Call, place: Place) -> Iterator[Need]:
    name = call.text("StackName")
    if not name and (change_set := call.text("ChangeSetName")):
        name = place.stack_of(change_set)
    arn = name if name.startswith("arn:") else place.arn("cloudformation", f"stack/{name or ANY}{'/*' if name else ''}")
    yield Need(action=call.action, resource=arn)


def _change_set(call: Call, place: Place) -> Iterator[Need]:
    yield from _stack(call, place)
    if call.list("Capabilities") and "CAPABILITY_AUTO_EXPAND" in call.list("Capabilities"):
        transform = f"arn:{place.partition}:cloudformation:{place.region}:aws:{TRANSFORM}"
        yield Need(action=call.action, resource=transform)
    if any(name.startswith("Tags.") for name in call.parameters):
        (stack, *_) = _stack(call, place)
        yield Need(action="cloudformation:TagResource", resource=stack.resource)
    if role := call.text("RoleARN"):
        yield Need(action="iam:PassRole", resource=role, context={"iam:passedtoservice": CLOUDFORMATION})


def _log_stream(call: Call, place: Place) -> Iterator[Need]:
    """Return the need of a call to a log stream, which AWS's refusals name even when it is not there yet."""
    name = f"log-group:{call.text('logGroupName')}:log-stream:{call.text('logStreamName')}"
    yield Need(action=call.action, resource=place.arn("logs", name))


def _role(call: Call, place: Place) -> Iterator[Need]:
    del place
    external = call.text("ExternalId")
    context = {"sts:externalid": external} if external else {}
    yield Need(action=call.action, resource=call.text("RoleArn"), context=context)


def _iam_role(call: Call, place: Place) -> Iterator[Need]:
    yield Need(action=call.action, resource=f"arn:{place.partition}:iam::{place.account}:role/{call.text('RoleName')}")


def _s3(call: Call, place: Place) -> Iterator[Need]:
    bucket, key = call.text("Bucket"), call.text("Key")
    where = f"arn:{place.partition}:s3:::{bucket}" if bucket else ANY
    if key:
        yield Need(action=call.action, resource=f"{where}/{key}")
        if source := call.text("CopySource").lstrip("/"):
            yield Need(action="s3:GetObject", resource=f"arn:{place.partition}:s3:::{source}")
        return
    context: dict[str, str] = {}
    for name in ("prefix", "delimiter", "max-keys"):
        if name in call.parameters:
            context[f"s3:{name}"] = call.text(name)
    yield Need(action=call.action, resource=where, context=context)


def _publish(call: Call, place: Place) -> Iterator[Need]:
    """Return the need of publishing to a topic, which a call may name in two ways; a telephone is no resource."""
    yield from _named("sns", "", "TargetArn" if call.text("TargetArn") else "TopicArn")(call, place)


def _mail(call: Call, place: Place) -> Iterator[Need]:
    yield from _sending(call, place, sender=call.text("Source"), recipients=call.list("Destination.ToAddresses"))


def _raw_mail(call: Call, place: Place) -> Iterator[Need]:
    """Return the needs of sending a whole message: its own header says who the sender is that people see."""
    message = email.message_from_bytes(b64decode(call.text("RawMessage.Data")))
    headers = [text for name in ("To", "Cc", "Bcc") for text in message.get_all(name, [])]
    recipients = call.list("Destinations") or [address for _, address in getaddresses(headers)]
    yield from _sending(call, place, sender=message.get("From") or call.text("Source"), recipients=recipients)


def _sending(call: Call, place: Place, *, sender: str, recipients: Sequence[str]) -> Iterator[Need]:
    """Return a need for the identity of each address that is named as the sender."""
    name, address = parseaddr(sender)
    context: dict[str, str | tuple[str, ...]] = {
        "ses:fromaddress": address,
        "ses:fromdisplayname": name,
        "ses:recipients": tuple(parseaddr(each)[1] for each in recipients),
    }
    for each in dict.fromkeys((address, parseaddr(call.text("Source"))[1] or address)):
        yield Need(
            action=call.action, resource=place.arn("ses", f"identity/{place.identity_of(each)}"), context=context
        )


def _events(call: Call, place: Place) -> Iterator[Need]:
    """Return a need for each event, on its bus, by its source and its type."""
    for entry in call.list("Entries"):
        bus = entry.get("EventBusName") or "default"
        yield Need(
            action=call.action,
            resource=bus if bus.startswith("arn:") else place.arn("events", f"event-bus/{bus}"),
            context={
                "events:source": str(entry.get("Source", "")),
                "events:detail-type": str(entry.get("DetailType", "")),
            },
        )


Describe = Callable[[Call, Place], Iterator[Need]]
TABLE: Mapping[str, Describe] = {
    "application-autoscaling:RegisterScalableTarget": _scalable_target,
    "cloudformation:CreateChangeSet": _change_set,
    **{
        f"cloudformation:{name}": _stack
        for name in (
            *("DeleteChangeSet", "DeleteStack", "DescribeChangeSet", "DescribeStackEvents", "DescribeStackResources"),
            *("DescribeStacks", "ExecuteChangeSet", "GetTemplate", "ListStackResources", "UpdateStack"),
        )
    },
    "batch:SubmitJob": _batch_job,
    "cloudwatch:DescribeAlarms": _named("cloudwatch", "alarm:", "nothing"),
    **{
        f"cloudwatch:{name}": _named("cloudwatch", "alarm:", "AlarmNames")
        for name in ("DisableAlarmActions", "EnableAlarmActions")
    },
    "cloudwatch:SetAlarmState": _named("cloudwatch", "alarm:", "AlarmName"),
    "ecs:DescribeClusters": _named("ecs", "cluster/", "clusters"),
    "ecs:DescribeServices": _ecs(ECS_SERVICE, "services"),
    "ecs:DescribeTasks": _ecs(ECS_TASK, "tasks"),
    "ecs:GetTaskProtection": _ecs(ECS_TASK, "tasks"),
    "ecs:ListServices": _ecs_cluster_only,
    "ecs:ListTasks": _ecs_cluster_only,
    "ecs:RunTask": _run,
    "ecs:StopTask": _ecs(ECS_TASK, "task"),
    "ecs:TagResource": _ecs_tagging,
    "ecs:UntagResource": _ecs_tagging,
    "ecs:UpdateService": _service_update,
    "ecs:UpdateTaskProtection": _ecs(ECS_TASK, "tasks"),
    "events:PutEvents": _events,
    **{
        f"iam:{name}": _iam_role
        for name in (
            *("AttachRolePolicy", "DeleteRole", "DeleteRolePolicy", "DetachRolePolicy", "GetRole", "GetRolePolicy"),
            *("PutRolePermissionsBoundary", "PutRolePolicy", "UpdateAssumeRolePolicy"),
        )
    },
    "lambda:InvokeFunction": _named("lambda", "function:", "FunctionName"),
    "logs:CreateLogStream": _log_stream,
    "logs:PutLogEvents": _log_stream,
    "rds:CreateDBSnapshot": _snapshot,
    "rds:DescribeDBInstances": _named("rds", "db:", "DBInstanceIdentifier"),
    "rds:DescribeDBSnapshots": _named("rds", "snapshot:", "DBSnapshotIdentifier"),
    "rds:ModifyDBInstance": _named("rds", "db:", "DBInstanceIdentifier"),
    "rds:StartDBInstance": _named("rds", "db:", "DBInstanceIdentifier"),
    "rds:StopDBInstance": _named("rds", "db:", "DBInstanceIdentifier"),
    "secretsmanager:GetSecretValue": _named("secretsmanager", "secret:", "SecretId"),
    "ses:SendEmail": _mail,
    "ses:SendRawEmail": _raw_mail,
    **{f"sns:{name}": _named("sns", "", "TopicArn") for name in ("DeleteTopic", "SetTopicAttributes", "Subscribe")},
    "sns:Publish": _publish,
    "sts:AssumeRole": _role,
}
