"""Every change to moto (5.2.5), with its reason. All are made at start, which fails if moto has moved an attribute."""

from __future__ import annotations

import json
import logging
import secrets
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import moto.applicationautoscaling.models
import moto.awslambda.models
import moto.cloudwatch.responses
import moto.ecs.urls
import moto.elasticache.urls
import moto.events.models
import moto.rds.models
import moto.s3.models
import moto.ses.models
import moto.settings
from moto.applicationautoscaling.exceptions import AWSValidationException
from moto.iam.access_control import IAMPolicy, PermissionResult

from local.aws import restored_databases
from local.aws.backend.cloud import Cloud
from local.aws.backend.settings import Settings
from local.aws.broker_users import BrokerUsers
from local.aws.ecs.api import EcsApi
from local.aws.elasticache_api import ElastiCacheApi

PASSWORD_LENGTH = 28

log = logging.getLogger(__name__)


class MotoChanged(RuntimeError):
    """An attribute of moto that is replaced here no longer exists."""


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replace the attribute by `make(original)`. Raises MotoChanged when there is none."""
    if name not in vars(owner):
        raise MotoChanged(f"moto has no {owner.__name__}.{name} any more: adapt local/aws/patches.py")
    setattr(owner, name, make(vars(owner)[name]))


def add(owner: Any, name: str, value: Any) -> None:
    """Add the attribute. Raises MotoChanged when moto has it by now."""
    if name in vars(owner) and vars(owner)[name] is not value:
        raise MotoChanged(f"moto has {owner.__name__}.{name} by now: remove ours from local/aws/patches.py")
    setattr(owner, name, value)


def replace_route(urls: Any, path: str, handler: Callable[..., Any]) -> None:
    """Replace the handler of a path of a moto service. Raises MotoChanged when moto does not serve that path."""
    if path not in urls.url_paths:
        raise MotoChanged(f"moto has no route {path} in {urls.__name__} any more: adapt local/aws/patches.py")
    urls.url_paths[path] = handler


def apply(settings: Settings, *, cloud: Callable[[str], Cloud]) -> None:
    """Make every change; `cloud` returns the clients of a region."""
    # moto's services start no tasks, report running as desired, and have no task protection.
    replace_route(moto.ecs.urls, "{0}/$", EcsApi.dispatch)

    # moto has no cache parameter groups, and nothing listens at its endpoints.
    ElastiCacheApi.broker = settings.broker
    ElastiCacheApi.users = BrokerUsers(settings.broker_administrator)
    replace_route(moto.elasticache.urls, "{0}/$", ElastiCacheApi.dispatch)

    # Nothing listens at moto's database endpoint. A restored database is another one, with an address of its own.
    database = {"Address": settings.database.host, "Port": settings.database.port}
    replace(moto.rds.models.DBInstance, "endpoint", lambda _original: restored_databases.endpoint(database))
    replace(moto.rds.models.RDSBackend, "restore_db_instance_from_db_snapshot", restored_databases.restore)
    moto.rds.models.DBInstance.status = restored_databases.status()

    # moto names every managed master user admin and gives it one known password.
    replace(moto.rds.models.MasterUserSecret, "_generate_secret_string", lambda _original: _master_secret)

    # moto ignores the conditions of a bucket policy: a statement that denies requests without TLS denies all of them.
    replace(moto.s3.models.FakeBucket, "get_permission", lambda _original: _permission)

    # moto searches its own ECS for the service, and that has none.
    autoscaling = moto.applicationautoscaling.models.ApplicationAutoscalingBackend
    replace(autoscaling, "_ecs_service_exists_for_target", lambda _original: _is_service(cloud))

    # moto keeps mails where no client can read them.
    if settings.mail is not None:
        replace(moto.ses.models.SESBackend, "send_raw_email", _kept_in(settings.mail))

    # moto issues a certificate after a minute, whether or not the record that validates it is there.
    replace(moto.settings, "ACM_VALIDATION_WAIT", lambda _original: 0)

    # moto stores composite alarms, but has no action that makes them.
    alarms = moto.cloudwatch.responses.CloudWatchResponse
    add(alarms, "put_composite_alarm", alarms.put_metric_alarm)

    # moto takes a schedule for a rule that matches every event, and fails at targets that it cannot deliver to.
    replace(moto.events.models.Rule, "send_to_targets", _to_known_targets)

    # moto answers with a bucket of AWS, from which nothing can be fetched.
    replace(moto.awslambda.models.LambdaFunction, "get_code", lambda original: _with_location(original, cloud))


def _master_secret(self: Any) -> str:
    letters = string.ascii_letters + string.digits
    password = "".join(secrets.choice(letters) for _ in range(PASSWORD_LENGTH))
    return json.dumps({"username": self.resource.master_username, "password": password})


def _permission(self: Any, action: str, resource: str) -> PermissionResult:
    """Evaluate the unconditional statements only: conditions (TLS, a VPC endpoint) cannot be evaluated here."""
    if self.policy is None:
        return PermissionResult.NEUTRAL
    policy = json.loads(self.policy)
    statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
    policy["Statement"] = [statement for statement in statements if "Condition" not in statement]
    return IAMPolicy(json.dumps(policy)).is_action_permitted(action=action, resource=resource)


def _kept_in(folder: Path) -> Callable[[Any], Callable[..., Any]]:
    """Return what makes a send_raw_email that also writes each accepted mail, as it was sent, into a file."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def send(self: Any, source: str, destinations: list[str], raw_data: str) -> Any:
            accepted = original(self, source, destinations, raw_data)
            # Whole at once, for who waits for it.
            unfinished = folder / f".{accepted.id}"
            unfinished.write_text(raw_data)
            unfinished.rename(folder / f"{accepted.id}.eml")
            return accepted

        return send

    return make


def _to_known_targets(original: Callable[..., None]) -> Callable[..., None]:
    """Return a send_to_targets that passes over schedules, and over targets that moto does not know."""

    def send(self: Any, original_event: Any, transform_input: bool = True) -> None:
        if not self.event_pattern.get_pattern():
            return
        try:
            original(self, original_event, transform_input)
        except NotImplementedError:
            log.warning("the rule %s has a target that no event is delivered to here", self.name)

    return send


def _is_service(cloud: Callable[[str], Cloud]) -> Callable[[Any, str], bool]:
    """Return a check that the service of a scalable target, `service/<cluster>/<name>`, exists."""

    def exists(self: Any, resource_id: str) -> bool:
        _, cluster, name = resource_id.split("/")
        ecs = cloud(self.region_name).client("ecs")
        if not ecs.describe_services(cluster=cluster, services=[name])["services"]:
            raise AWSValidationException(f"ECS service doesn't exist: {resource_id}")
        return True

    return exists


def _with_location(
    original: Callable[[Any], dict[str, Any]], cloud: Callable[[str], Cloud]
) -> Callable[[Any], dict[str, Any]]:
    """Return a get_code whose Code.Location is, as on AWS, a signed URL of the deployed archive."""

    def get_code(self: Any) -> dict[str, Any]:
        answer = original(self)
        if "S3Key" in self.code:
            where = {"Bucket": self.code["S3Bucket"], "Key": self.code["S3Key"]}
            answer["Code"]["Location"] = cloud(self.region).client("s3").generate_presigned_url("get_object", where)
        return answer

    return get_code
