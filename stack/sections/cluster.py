"""The ECS cluster of the services, and the namespace of the private names by which they find each other."""

from dataclasses import dataclass

from troposphere import Output, Ref, Sub, Template
from troposphere.ecs import Cluster as EcsCluster
from troposphere.ecs import ClusterSetting
from troposphere.servicediscovery import PrivateDnsNamespace

from stack.lib.parameters import FormGroup, OneOf
from stack.lib.services import PROVIDERS
from stack.sections.network import Network
from stack.sections.settings import LOGS_GROUP

NAMESPACE_NAME = "${AWS::StackName}.internal"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """`namespace_name` is text for an Fn::Sub."""

    ecs: EcsCluster
    namespace: PrivateDnsNamespace
    namespace_name: str


def add_cluster(t: Template, *, network: Network) -> Cluster:
    insights = FormGroup(t, LOGS_GROUP).add(
        "ContainerInsights",
        label="Container Insights",
        description="Whether CloudWatch records the resource use of each service and ECS task; every metric is billed.",
        constraint=OneOf(values=("enabled", "disabled")),
        default="enabled",
    )
    ecs = t.add_resource(
        EcsCluster(
            "Cluster",
            CapacityProviders=list(PROVIDERS),
            ClusterSettings=[ClusterSetting(Name="containerInsights", Value=Ref(insights))],
        )
    )
    namespace = t.add_resource(
        PrivateDnsNamespace(
            "ClusterNamespace",
            Name=Sub(NAMESPACE_NAME),
            Description="Names of the services of this stack",
            Vpc=network.vpc,
        )
    )
    t.add_output(Output("ClusterName", Description="ECS cluster of the services.", Value=Ref(ecs)))
    return Cluster(ecs=ecs, namespace=namespace, namespace_name=NAMESPACE_NAME)
