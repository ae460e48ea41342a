"""AWS::SecretsManager::Secret, with generated values."""

from __future__ import annotations

import json

from local.aws.backend.cloud import Cloud
from local.aws.resources.kind import Change, Kind, PhysicalResource, Properties, deleted_by, without


def _generated(cloud: Cloud, rule: Properties) -> str:
    plain = without(rule, "SecretStringTemplate", "GenerateStringKey")
    password: str = cloud.call("secretsmanager", "get_random_password", plain)["RandomPassword"]
    if "GenerateStringKey" not in rule:
        return password
    return json.dumps({**json.loads(rule.get("SecretStringTemplate", "{}")), rule["GenerateStringKey"]: password})


def _create(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    request = {"Name": name, **without(properties, "GenerateSecretString", "ReplicaRegions")}
    if "GenerateSecretString" in properties:
        request["SecretString"] = _generated(cloud, properties["GenerateSecretString"])
    arn = cloud.call("secretsmanager", "create_secret", request)["ARN"]
    return PhysicalResource(id=arn, attributes={"Id": arn})


def _update(cloud: Cloud, change: Change) -> PhysicalResource:
    """Update the secret; generate its value again only if GenerateSecretString changes, as CloudFormation does."""
    request = change.changed("GenerateSecretString", "ReplicaRegions", "Tags")
    if change.differs("GenerateSecretString") and "GenerateSecretString" in change.new:
        request["SecretString"] = _generated(cloud, change.new["GenerateSecretString"])
    if request:
        cloud.call("secretsmanager", "update_secret", request, SecretId=change.physical.id)
    if change.differs("Tags"):
        cloud.call("secretsmanager", "tag_resource", {"Tags": change.new.get("Tags", [])}, SecretId=change.physical.id)
    return change.physical


KINDS = (
    Kind(
        type="AWS::SecretsManager::Secret",
        create=_create,
        update=_update,
        delete=deleted_by("secretsmanager", "delete_secret", "SecretId", ForceDeleteWithoutRecovery=True),
    ),
)
