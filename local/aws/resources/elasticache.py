"""AWS::ElastiCache resources: the broker."""

from __future__ import annotations

from local.aws.backend.cloud import Cloud
from local.aws.resources.kind import Change, Kind, PhysicalResource, Properties, deleted_by, shortened, without

ID_LENGTH = 40  # ElastiCache's limit
# Properties that modify_replication_group of moto 5.2.5 does not change.
_UNCHANGEABLE = frozenset(
    (
        *("AutoMinorVersionUpgrade", "CacheParameterGroupName", "CacheSecurityGroupNames", "ClusterMode", "Engine"),
        *("EngineVersion", "IpDiscovery", "LogDeliveryConfigurations", "NotificationTopicArn", "NumCacheClusters"),
        *("NumNodeGroups", "PreferredMaintenanceWindow", "PrimaryClusterId", "ReplicasPerNodeGroup"),
        *("SecurityGroupIds", "SnapshotWindow", "SnapshottingClusterId", "Tags", "TransitEncryptionEnabled"),
        *("TransitEncryptionMode", "UserGroupIds"),
    )
)


def _described(cloud: Cloud, group: str) -> PhysicalResource:
    found = cloud.client("elasticache").describe_replication_groups(ReplicationGroupId=group)["ReplicationGroups"][0]
    primary = found["NodeGroups"][0]["PrimaryEndpoint"]
    attributes = {"PrimaryEndPoint.Address": primary["Address"], "PrimaryEndPoint.Port": str(primary["Port"])}
    return PhysicalResource(id=group, attributes=attributes)


def _create_group(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    group = str(properties.get("ReplicationGroupId", shortened(name, ID_LENGTH))).lower()
    cloud.call("elasticache", "create_replication_group", {**properties, "ReplicationGroupId": group})
    return _described(cloud, group)


def _update_group(cloud: Cloud, change: Change) -> PhysicalResource:
    cloud.call(
        "elasticache",
        "modify_replication_group",
        change.changed(),
        ReplicationGroupId=change.physical.id,
        ApplyImmediately=True,
    )
    return _described(cloud, change.physical.id)


def _create_subnet_group(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    group = str(properties.get("CacheSubnetGroupName", name)).lower()
    request = {**without(properties, "Description"), "CacheSubnetGroupDescription": properties["Description"]}
    cloud.call("elasticache", "create_cache_subnet_group", {**request, "CacheSubnetGroupName": group})
    return PhysicalResource(id=group)


def _set_parameters(cloud: Cloud, group: str, properties: Properties) -> None:
    values = [
        {"ParameterName": name, "ParameterValue": str(value)}
        for name, value in properties.get("Properties", {}).items()
    ]
    if values:
        cloud.client("elasticache").modify_cache_parameter_group(
            CacheParameterGroupName=group, ParameterNameValues=values
        )


def _create_parameter_group(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    group = name.lower()
    plain = without(properties, "Properties", "CacheParameterGroupFamily")
    family = properties["CacheParameterGroupFamily"]
    request = {**plain, "CacheParameterGroupName": group, "CacheParameterGroupFamily": family}
    cloud.call("elasticache", "create_cache_parameter_group", request)
    _set_parameters(cloud, group, properties)
    return PhysicalResource(id=group, attributes={"CacheParameterGroupName": group})


def _update_parameter_group(cloud: Cloud, change: Change) -> PhysicalResource:
    _set_parameters(cloud, change.physical.id, change.new)
    return change.physical


def _create_user(cloud: Cloud, _name: str, properties: Properties) -> PhysicalResource:
    user = cloud.call("elasticache", "create_user", properties)
    return PhysicalResource(id=user["UserId"], attributes={"Arn": user["ARN"], "Status": user["Status"]})


def _update_user(cloud: Cloud, change: Change) -> PhysicalResource:
    cloud.call("elasticache", "modify_user", change.changed(), UserId=change.physical.id)
    return change.physical


def _update_user_group(cloud: Cloud, change: Change) -> PhysicalResource:
    old, new = change.old.get("UserIds", []), change.new.get("UserIds", [])
    added, removed = [each for each in new if each not in old], [each for each in old if each not in new]
    differences = {"UserIdsToAdd": added, "UserIdsToRemove": removed}
    request = {name: ids for name, ids in differences.items() if ids}
    if request:
        cloud.call("elasticache", "modify_user_group", request, UserGroupId=change.physical.id)
    return change.physical


def _create_user_group(cloud: Cloud, _name: str, properties: Properties) -> PhysicalResource:
    group = cloud.call("elasticache", "create_user_group", properties)
    return PhysicalResource(id=group["UserGroupId"], attributes={"Arn": group["ARN"], "Status": group["Status"]})


KINDS = (
    Kind(
        type="AWS::ElastiCache::User",
        create=_create_user,
        update=_update_user,
        unchangeable=frozenset(("AuthenticationMode", "Engine", "NoPasswordRequired", "Tags")),
        delete=deleted_by("elasticache", "delete_user", "UserId"),
    ),
    Kind(
        type="AWS::ElastiCache::UserGroup",
        create=_create_user_group,
        update=_update_user_group,
        unchangeable=frozenset(("Engine", "Tags")),
        delete=deleted_by("elasticache", "delete_user_group", "UserGroupId"),
    ),
    Kind(
        type="AWS::ElastiCache::ReplicationGroup",
        create=_create_group,
        update=_update_group,
        unchangeable=_UNCHANGEABLE,
        delete=deleted_by("elasticache", "delete_replication_group", "ReplicationGroupId"),
    ),
    Kind(
        type="AWS::ElastiCache::SubnetGroup",
        create=_create_subnet_group,
        delete=deleted_by("elasticache", "delete_cache_subnet_group", "CacheSubnetGroupName"),
    ),
    Kind(
        type="AWS::ElastiCache::ParameterGroup",
        create=_create_parameter_group,
        update=_update_parameter_group,
        unchangeable=frozenset(("Description", "Tags")),
        delete=deleted_by("elasticache", "delete_cache_parameter_group", "CacheParameterGroupName"),
    ),
)
