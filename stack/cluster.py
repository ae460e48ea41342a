"""The ECS cluster that the services run in, with the private names by which they find each other."""

from dataclasses import dataclass

from troposphere import Output, Ref, Sub, Template
from troposphere.ecs import Cluster as EcsCluster
from troposphere.servicediscovery import PrivateDnsNamespace

from stack.capacity import PROVIDERS
from stack.network import Network

NAMESPACE_NAME = "${AWS::StackName}.internal"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """`namespace_name` is the text for an Fn::Sub."""

    ecs: EcsCluster
    namespace: PrivateDnsNamespace
    namespace_name: str


def add_cluster(t: Template, *, network: Network) -> Cluster:
    ecs = t.add_resource(EcsCluster("Cluster", CapacityProviders=list(PROVIDERS)))
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
