"""AWS::RDS resources: the database."""

from __future__ import annotations

import uuid

from local.aws.backend.cloud import Cloud
from local.aws.resources.kind import Change, Kind, PhysicalResource, Properties, deleted_by, without

# Of copies in another region, which this API does not have.
ELSEWHERE = tuple(f"AutomaticBackupReplication{part}" for part in ("KmsKeyId", "Region", "RetentionPeriod"))


def _request(properties: Properties) -> dict[str, object]:
    request = without(properties, *ELSEWHERE)
    if "VPCSecurityGroups" in request:
        request["VpcSecurityGroupIds"] = request.pop("VPCSecurityGroups")
    if "MasterUserSecret" in request:
        request["MasterUserSecretKmsKeyId"] = request.pop("MasterUserSecret")["KmsKeyId"]
    return request


def _described(cloud: Cloud, identifier: str) -> PhysicalResource:
    instance = cloud.client("rds").describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]
    attributes = {
        "DBInstanceArn": instance["DBInstanceArn"],
        "DbiResourceId": instance["DbiResourceId"],
        "Endpoint.Address": instance["Endpoint"]["Address"],
        "Endpoint.Port": str(instance["Endpoint"]["Port"]),
    }
    if "MasterUserSecret" in instance:
        attributes["MasterUserSecret.SecretArn"] = instance["MasterUserSecret"]["SecretArn"]
    return PhysicalResource(id=identifier, attributes=attributes)


def _create_instance(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    identifier = str(properties.get("DBInstanceIdentifier", name)).lower()
    request = {"EngineVersion": None, **_request(properties), "DBInstanceIdentifier": identifier}
    cloud.call("rds", "create_db_instance", {key: value for key, value in request.items() if value is not None})
    return _described(cloud, identifier)


def _update_instance(cloud: Cloud, change: Change) -> PhysicalResource:
    request = _request(change.changed("EnableCloudwatchLogsExports"))
    if change.differs("EnableCloudwatchLogsExports"):
        old, new = (set(side.get("EnableCloudwatchLogsExports", [])) for side in (change.old, change.new))
        exports = {"EnableLogTypes": sorted(new - old), "DisableLogTypes": sorted(old - new)}
        request["CloudwatchLogsExportConfiguration"] = exports
    cloud.call("rds", "modify_db_instance", request, DBInstanceIdentifier=change.physical.id, ApplyImmediately=True)
    return _described(cloud, change.physical.id)


def _delete_instance(cloud: Cloud, physical: PhysicalResource) -> None:
    # Of what is in the database there is no copy: it is a local server that this API does not manage.
    cloud.client("rds").delete_db_instance(DBInstanceIdentifier=physical.id, SkipFinalSnapshot=True)


def _take_snapshot(cloud: Cloud, physical: PhysicalResource) -> None:
    name = f"{physical.id}-final-{uuid.uuid4().hex[:8]}"
    cloud.client("rds").create_db_snapshot(DBInstanceIdentifier=physical.id, DBSnapshotIdentifier=name)


def _create_subnet_group(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    group = str(properties.get("DBSubnetGroupName", name)).lower()
    cloud.call("rds", "create_db_subnet_group", {**properties, "DBSubnetGroupName": group})
    return PhysicalResource(id=group)


def _update_subnet_group(cloud: Cloud, change: Change) -> PhysicalResource:
    cloud.call("rds", "modify_db_subnet_group", without(change.new, "Tags"), DBSubnetGroupName=change.physical.id)
    return change.physical


def _set_parameters(cloud: Cloud, group: str, properties: Properties) -> None:
    parameters = [
        {"ParameterName": name, "ParameterValue": str(value), "ApplyMethod": "pending-reboot"}
        for name, value in properties.get("Parameters", {}).items()
    ]
    if parameters:
        cloud.client("rds").modify_db_parameter_group(DBParameterGroupName=group, Parameters=parameters)


def _create_parameter_group(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    group = str(properties.get("DBParameterGroupName", name)).lower()
    request = {**without(properties, "Family", "Parameters"), "DBParameterGroupFamily": properties["Family"]}
    cloud.call("rds", "create_db_parameter_group", request, DBParameterGroupName=group)
    _set_parameters(cloud, group, properties)
    return PhysicalResource(id=group, attributes={"DBParameterGroupName": group})


def _update_parameter_group(cloud: Cloud, change: Change) -> PhysicalResource:
    _set_parameters(cloud, change.physical.id, change.new)
    return change.physical


KINDS = (
    Kind(
        type="AWS::RDS::DBInstance",
        create=_create_instance,
        update=_update_instance,
        replaced_by=frozenset(("AvailabilityZone", "Engine")),
        unchangeable=frozenset(("Port", "Tags")),
        snapshot=_take_snapshot,
        default_policy="Snapshot",
        delete=_delete_instance,
    ),
    Kind(
        type="AWS::RDS::DBSubnetGroup",
        create=_create_subnet_group,
        update=_update_subnet_group,
        delete=deleted_by("rds", "delete_db_subnet_group", "DBSubnetGroupName"),
    ),
    Kind(
        type="AWS::RDS::DBParameterGroup",
        create=_create_parameter_group,
        update=_update_parameter_group,
        delete=deleted_by("rds", "delete_db_parameter_group", "DBParameterGroupName"),
    ),
)
