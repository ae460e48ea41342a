"""AWS::ApplicationAutoScaling resources: they can be read, but do not scale anything here."""

from __future__ import annotations

from local.aws.backend.cloud import Cloud
from local.aws.resources.kind import Kind, PhysicalResource, Properties, without

_TARGET = ("ServiceNamespace", "ResourceId", "ScalableDimension")
_SERVICE_ROLE = (
    "aws-service-role/ecs.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_ECSService"
)


def _register(cloud: Cloud, properties: Properties) -> PhysicalResource:
    role = f"arn:{cloud.partition}:iam::{cloud.account}:role/{_SERVICE_ROLE}"
    request = {"RoleARN": role, **without(properties, "ScheduledActions")}
    cloud.call("application-autoscaling", "register_scalable_target", request)
    identifier = "|".join(str(properties[name]) for name in ("ResourceId", "ScalableDimension", "ServiceNamespace"))
    return PhysicalResource(id=identifier, attributes={"Id": identifier})


def _deregister(cloud: Cloud, physical: PhysicalResource) -> None:
    resource, dimension, namespace = physical.id.split("|")
    cloud.client("application-autoscaling").deregister_scalable_target(
        ServiceNamespace=namespace, ResourceId=resource, ScalableDimension=dimension
    )


def _put_policy(cloud: Cloud, _name: str, properties: Properties) -> PhysicalResource:
    request = without(properties, "ScalingTargetId")
    if "ScalingTargetId" in properties:
        resource, dimension, namespace = str(properties["ScalingTargetId"]).split("|")
        request.update(ResourceId=resource, ScalableDimension=dimension, ServiceNamespace=namespace)
    arn = cloud.call("application-autoscaling", "put_scaling_policy", request)["PolicyARN"]
    target = {name: request[name] for name in _TARGET}
    return PhysicalResource(id=arn, attributes={"Arn": arn, "_policy": {"PolicyName": request["PolicyName"], **target}})


KINDS = (
    Kind(
        type="AWS::ApplicationAutoScaling::ScalableTarget",
        create=lambda cloud, _name, properties: _register(cloud, properties),
        update=lambda cloud, change: _register(cloud, change.new),
        delete=_deregister,
    ),
    Kind(
        type="AWS::ApplicationAutoScaling::ScalingPolicy",
        create=_put_policy,
        update=lambda cloud, change: _put_policy(cloud, change.physical.id, change.new),
        delete=lambda cloud, physical: cloud.client("application-autoscaling").delete_scaling_policy(
            **physical.attributes["_policy"]
        ),
    ),
)
