"""AWS::ECS resources: cluster, task definitions and services."""

from __future__ import annotations

from local.aws.backend.cloud import Cloud
from local.aws.resources.kind import Change, Kind, PhysicalResource, Properties, deleted_by, without

# CreateService takes these, and UpdateService does not: a change replaces the service.
_SERVICE_CREATE_ONLY = frozenset(
    ("Cluster", "LaunchType", "SchedulingStrategy", "ServiceName", "DeploymentController", "Role")
)


def _create_cluster(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    request = {"ClusterName": name, **without(properties, "ClusterSettings")}
    if "ClusterSettings" in properties:
        request["Settings"] = properties["ClusterSettings"]
    cluster = cloud.call("ecs", "create_cluster", request)["cluster"]
    return PhysicalResource(id=cluster["clusterName"], attributes={"Arn": cluster["clusterArn"]})


def _update_cluster(cloud: Cloud, change: Change) -> PhysicalResource:
    settings = {"Settings": change.new["ClusterSettings"]} if "ClusterSettings" in change.new else {}
    settings.update({name: change.new[name] for name in ("Configuration",) if name in change.new})
    cloud.call("ecs", "update_cluster", settings, cluster=change.physical.id)
    if change.differs("CapacityProviders") or change.differs("DefaultCapacityProviderStrategy"):
        providers = {
            "CapacityProviders": change.new.get("CapacityProviders", []),
            "DefaultCapacityProviderStrategy": change.new.get("DefaultCapacityProviderStrategy", []),
        }
        cloud.call("ecs", "put_cluster_capacity_providers", providers, cluster=change.physical.id)
    if change.differs("Tags"):
        tags = {"Tags": change.new.get("Tags", [])}
        cloud.call("ecs", "tag_resource", tags, resourceArn=change.physical.attributes["Arn"])
    return change.physical


def _register(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    request = {"Family": name, **properties}
    arn = cloud.call("ecs", "register_task_definition", request)["taskDefinition"]["taskDefinitionArn"]
    return PhysicalResource(id=arn, attributes={"TaskDefinitionArn": arn})


def _create_service(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    request = {"ServiceName": name, "DesiredCount": 1, **properties}
    service = cloud.call("ecs", "create_service", request)["service"]
    attributes = {
        "Name": service["serviceName"],
        "ServiceArn": service["serviceArn"],
        "_cluster": service["clusterArn"],
    }
    return PhysicalResource(id=service["serviceArn"], attributes=attributes)


def _update_service(cloud: Cloud, change: Change) -> PhysicalResource:
    """Send all that UpdateService takes, as CloudFormation does; a DesiredCount that the template omits stays."""
    request = without(change.new, *_SERVICE_CREATE_ONLY, "Tags")
    cluster = change.physical.attributes["_cluster"]
    cloud.call("ecs", "update_service", request, cluster=cluster, service=change.physical.id)
    if change.differs("Tags"):
        tags = {"Tags": change.new.get("Tags", [])}
        cloud.call("ecs", "tag_resource", tags, resourceArn=change.physical.id)
    return change.physical


def _delete_service(cloud: Cloud, physical: PhysicalResource) -> None:
    cloud.client("ecs").delete_service(cluster=physical.attributes["_cluster"], service=physical.id, force=True)


def _associate(cloud: Cloud, properties: Properties) -> PhysicalResource:
    cloud.call("ecs", "put_cluster_capacity_providers", properties)
    return PhysicalResource(id=str(properties["Cluster"]))


def _dissociate(cloud: Cloud, physical: PhysicalResource) -> None:
    empty: dict[str, list[str]] = {"CapacityProviders": [], "DefaultCapacityProviderStrategy": []}
    cloud.call("ecs", "put_cluster_capacity_providers", empty, cluster=physical.id)


KINDS = (
    Kind(
        type="AWS::ECS::Cluster",
        create=_create_cluster,
        update=_update_cluster,
        replaced_by=frozenset(("ClusterName",)),
        delete=deleted_by("ecs", "delete_cluster", "cluster"),
    ),
    Kind(
        type="AWS::ECS::TaskDefinition",
        create=_register,
        delete=deleted_by("ecs", "deregister_task_definition", "taskDefinition"),
    ),
    Kind(
        type="AWS::ECS::Service",
        create=_create_service,
        update=_update_service,
        replaced_by=_SERVICE_CREATE_ONLY,
        delete=_delete_service,
    ),
    Kind(
        type="AWS::ECS::ClusterCapacityProviderAssociations",
        create=lambda cloud, _name, properties: _associate(cloud, properties),
        update=lambda cloud, change: _associate(cloud, change.new),
        replaced_by=frozenset(("Cluster",)),
        delete=_dissociate,
    ),
)
