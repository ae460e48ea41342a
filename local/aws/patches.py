"""Every change to moto (5.2.5), each with its reason; all are made at start, and a moved attribute stops the start."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Callable
from typing import Any

import moto.applicationautoscaling.models
import moto.awslambda.models
import moto.ecs.urls
import moto.elasticache.urls
import moto.rds.models
import moto.s3.models
from moto.applicationautoscaling.exceptions import AWSValidationException
from moto.iam.access_control import IAMPolicy, PermissionResult

from local.aws.backend.cloud import Cloud
from local.aws.backend.settings import Settings
from local.aws.ecs.api import EcsApi
from local.aws.elasticache_api import ElastiCacheApi

PASSWORD_LENGTH = 28


class MotoChanged(RuntimeError):
    """moto no longer has an attribute that is replaced here."""


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Puts `make(original)` where the attribute was. Raises MotoChanged when there is none."""
    if name not in vars(owner):
        raise MotoChanged(f"moto has no {owner.__name__}.{name} any more: adapt local/aws/patches.py")
    setattr(owner, name, make(vars(owner)[name]))


def replace_route(urls: Any, path: str, handler: Callable[..., Any]) -> None:
    """Puts a handler of ours on a path of a moto service. Raises MotoChanged when moto does not serve that path."""
    if path not in urls.url_paths:
        raise MotoChanged(f"moto has no route {path} in {urls.__name__} any more: adapt local/aws/patches.py")
    urls.url_paths[path] = handler


def apply(settings: Settings, *, cloud: Callable[[str], Cloud]) -> None:
    """`cloud` gives the client for a region."""
    # moto's services start no tasks, pretend that running equals desired, and know no task protection.
    replace_route(moto.ecs.urls, "{0}/$", EcsApi.dispatch)

    # moto has no cache parameter groups, and its endpoints lead nowhere.
    ElastiCacheApi.broker = settings.broker
    replace_route(moto.elasticache.urls, "{0}/$", ElastiCacheApi.dispatch)

    # moto's database endpoint leads nowhere.
    database = {"Address": settings.database.host, "Port": settings.database.port}
    replace(moto.rds.models.DBInstance, "endpoint", lambda _original: property(lambda _self: database))

    # moto gives every managed master user the name admin and one known password.
    replace(moto.rds.models.MasterUserSecret, "_generate_secret_string", lambda _original: _master_secret)

    # moto judges a bucket policy's statements without their conditions: "deny what comes without TLS" denies all.
    replace(moto.s3.models.FakeBucket, "get_permission", lambda _original: _permission)

    # moto looks for the service among those of its own ECS, which has none.
    autoscaling = moto.applicationautoscaling.models.ApplicationAutoscalingBackend
    replace(autoscaling, "_ecs_service_exists_for_target", lambda _original: _is_service(cloud))

    # moto answers with the name of a bucket of AWS's own: nothing can be fetched from there.
    replace(moto.awslambda.models.LambdaFunction, "get_code", lambda original: _with_location(original, cloud))


def _master_secret(self: Any) -> str:
    letters = string.ascii_letters + string.digits
    password = "".join(secrets.choice(letters) for _ in range(PASSWORD_LENGTH))
    return json.dumps({"username": self.resource.master_username, "password": password})


def _permission(self: Any, action: str, resource: str) -> PermissionResult:
    """What the unconditional statements say; whether a condition holds (TLS, a VPC endpoint) cannot be said here."""
    if self.policy is None:
        return PermissionResult.NEUTRAL
    policy = json.loads(self.policy)
    statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
    policy["Statement"] = [statement for statement in statements if "Condition" not in statement]
    return IAMPolicy(json.dumps(policy)).is_action_permitted(action=action, resource=resource)


def _is_service(cloud: Callable[[str], Cloud]) -> Callable[[Any, str], bool]:
    """Whether there is the service that a scalable target names: `service/<cluster>/<name>`."""

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
    """As in AWS, Code.Location is a signed URL from which anybody can fetch the deployed archive."""

    def get_code(self: Any) -> dict[str, Any]:
        answer = original(self)
        if "S3Key" in self.code:
            where = {"Bucket": self.code["S3Bucket"], "Key": self.code["S3Key"]}
            answer["Code"]["Location"] = cloud(self.region).client("s3").generate_presigned_url("get_object", where)
        return answer

    return get_code
