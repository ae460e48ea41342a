"""AWS::ECS resources: cluster, task definitions and services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.aws.backend.cloud import Cloud
from local.aws.resources.kind import Change, Kind, PhysicalResource, Properties, Unstable, deleted_by, without

# CreateService takes these, and UpdateService does not.
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
        "_deployment": _newest(service)["id"],
    }
    return PhysicalResource(id=service["serviceArn"], attributes=attributes)


def _newest(service: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(dict(each) for each in service["deployments"] if each["status"] == "PRIMARY")


def _update_service(cloud: Cloud, change: Change) -> PhysicalResource:
    """Send all that UpdateService takes, as CloudFormation does; a DesiredCount that the template omits stays."""
    request = without(change.new, *_SERVICE_CREATE_ONLY, "Tags")
    cluster = change.physical.attributes["_cluster"]
    answer = cloud.call("ecs", "update_service", request, cluster=cluster, service=change.physical.id)
    if change.differs("Tags"):
        tags = {"Tags": change.new.get("Tags", [])}
        cloud.call("ecs", "tag_resource", tags, resourceArn=change.physical.id)
    attributes = {**change.physical.attributes, "_deployment": _newest(answer["service"])["id"]}
    return PhysicalResource(id=change.physical.id, attributes=attributes)


def _delete_service(cloud: Cloud, physical: PhysicalResource) -> None:
    cloud.client("ecs").delete_service(cluster=physical.attributes["_cluster"], service=physical.id, force=True)


def _described(cloud: Cloud, physical: PhysicalResource) -> Mapping[str, Any] | None:
    named = {"cluster": physical.attributes["_cluster"], "services": [physical.id]}
    found = cloud.client("ecs").describe_services(**named)["services"]
    return dict(found[0]) if found else None


def _is_stable(cloud: Cloud, physical: PhysicalResource) -> bool:
    """Whether only the newest deployment is left and has its tasks.

    Raises Unstable when ECS gave up the one that CloudFormation began. Without an agent, as before a stack's first
    start, no task ever runs, and no one waits.
    """
    service = _described(cloud, physical)
    if service is None:
        raise Unstable("Service not found")
    newest, own = _newest(service), physical.attributes["_deployment"]
    if any(each["rolloutState"] == "FAILED" and each["id"] == own for each in service["deployments"]):
        raise Unstable("Error occurred during operation 'ECS Deployment Circuit Breaker was triggered'.")
    if len(service["deployments"]) == 1 and newest["rolloutState"] == "COMPLETED":
        return True
    return not _has_agent(cloud, physical)


def _has_agent(cloud: Cloud, physical: PhysicalResource) -> bool:
    ecs, cluster = cloud.client("ecs"), physical.attributes["_cluster"]
    return any(ecs.list_tasks(cluster=cluster, desiredStatus=status)["taskArns"] for status in ("RUNNING", "STOPPED"))


def _is_gone(cloud: Cloud, physical: PhysicalResource) -> bool:
    service = _described(cloud, physical)
    return service is None or service["status"] == "INACTIVE"


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
        replaced_by=frozenset(("LaunchType",)),
        unchangeable=frozenset(("DeploymentController",)),
        is_stable=_is_stable,
        is_gone=_is_gone,
        delete=_delete_service,
    ),
    Kind(
        type="AWS::ECS::ClusterCapacityProviderAssociations",
        create=lambda cloud, _name, properties: _associate(cloud, properties),
        update=lambda cloud, change: _associate(cloud, change.new),
        delete=_dissociate,
    ),
)
