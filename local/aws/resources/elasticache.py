"""AWS::ElastiCache resources: the broker."""

from __future__ import annotations

from local.aws.backend.cloud import Cloud
from local.aws.resources.kind import Change, Kind, Made, Properties, shortened, without

ID_LENGTH = 40  # ElastiCache's limit
# What modify_replication_group of moto 5.2.5 really changes; any other change replaces the group here.
_IN_PLACE = frozenset(
    (
        "ReplicationGroupDescription",
        "CacheNodeType",
        "AutomaticFailoverEnabled",
        "MultiAZEnabled",
        "SnapshotRetentionLimit",
    )
)


def _described(cloud: Cloud, group: str) -> Made:
    found = cloud.client("elasticache").describe_replication_groups(ReplicationGroupId=group)["ReplicationGroups"][0]
    primary = found["NodeGroups"][0]["PrimaryEndpoint"]
    attributes = {"PrimaryEndPoint.Address": primary["Address"], "PrimaryEndPoint.Port": str(primary["Port"])}
    return Made(id=group, attributes=attributes)


def _create_group(cloud: Cloud, name: str, properties: Properties) -> Made:
    group = str(properties.get("ReplicationGroupId", shortened(name, ID_LENGTH))).lower()
    cloud.call("elasticache", "create_replication_group", {**properties, "ReplicationGroupId": group})
    return _described(cloud, group)


def _update_group(cloud: Cloud, change: Change) -> Made:
    cloud.call(
        "elasticache",
        "modify_replication_group",
        change.changed(),
        ReplicationGroupId=change.made.id,
        ApplyImmediately=True,
    )
    return _described(cloud, change.made.id)


def _create_subnet_group(cloud: Cloud, name: str, properties: Properties) -> Made:
    group = str(properties.get("CacheSubnetGroupName", name)).lower()
    request = {**without(properties, "Description"), "CacheSubnetGroupDescription": properties["Description"]}
    cloud.call("elasticache", "create_cache_subnet_group", {**request, "CacheSubnetGroupName": group})
    return Made(id=group)


def _set_parameters(cloud: Cloud, group: str, properties: Properties) -> None:
    values = [
        {"ParameterName": name, "ParameterValue": str(value)}
        for name, value in properties.get("Properties", {}).items()
    ]
    if values:
        cloud.client("elasticache").modify_cache_parameter_group(
            CacheParameterGroupName=group, ParameterNameValues=values
        )


def _create_parameter_group(cloud: Cloud, name: str, properties: Properties) -> Made:
    group = name.lower()
    plain = without(properties, "Properties", "CacheParameterGroupFamily")
    family = properties["CacheParameterGroupFamily"]
    request = {**plain, "CacheParameterGroupName": group, "CacheParameterGroupFamily": family}
    cloud.call("elasticache", "create_cache_parameter_group", request)
    _set_parameters(cloud, group, properties)
    return Made(id=group, attributes={"CacheParameterGroupName": group})


def _update_parameter_group(cloud: Cloud, change: Change) -> Made:
    _set_parameters(cloud, change.made.id, change.new)
    return change.made


def _create_user(cloud: Cloud, _name: str, properties: Properties) -> Made:
    user = cloud.call("elasticache", "create_user", properties)
    return Made(id=user["UserId"], attributes={"Arn": user["ARN"], "Status": user["Status"]})


def _create_user_group(cloud: Cloud, _name: str, properties: Properties) -> Made:
    group = cloud.call("elasticache", "create_user_group", properties)
    return Made(id=group["UserGroupId"], attributes={"Arn": group["ARN"], "Status": group["Status"]})


KINDS = (
    Kind(
        type="AWS::ElastiCache::User",
        create=_create_user,
        delete=lambda cloud, made: cloud.client("elasticache").delete_user(UserId=made.id),
    ),
    Kind(
        type="AWS::ElastiCache::UserGroup",
        create=_create_user_group,
        delete=lambda cloud, made: cloud.client("elasticache").delete_user_group(UserGroupId=made.id),
    ),
    Kind(
        type="AWS::ElastiCache::ReplicationGroup",
        create=_create_group,
        update=_update_group,
        in_place=_IN_PLACE,
        delete=lambda cloud, made: cloud.client("elasticache").delete_replication_group(ReplicationGroupId=made.id),
    ),
    Kind(
        type="AWS::ElastiCache::SubnetGroup",
        create=_create_subnet_group,
        delete=lambda cloud, made: cloud.client("elasticache").delete_cache_subnet_group(CacheSubnetGroupName=made.id),
    ),
    Kind(
        type="AWS::ElastiCache::ParameterGroup",
        create=_create_parameter_group,
        update=_update_parameter_group,
        replaced_by=frozenset(("CacheParameterGroupFamily", "Description")),
        delete=lambda cloud, made: cloud.client("elasticache").delete_cache_parameter_group(
            CacheParameterGroupName=made.id
        ),
    ),
)
