"""AWS::ServiceDiscovery resources: Cloud Map namespaces and services."""

from __future__ import annotations

from local.aws.backend.cloud import Cloud
from local.aws.resources.kind import Change, Kind, PhysicalResource, Properties, deleted_by


def _create_namespace(cloud: Cloud, _name: str, properties: Properties) -> PhysicalResource:
    client = cloud.client("servicediscovery")
    operation = cloud.call("servicediscovery", "create_private_dns_namespace", properties)["OperationId"]
    namespace = client.get_operation(OperationId=operation)["Operation"]["Targets"]["NAMESPACE"]
    found = client.get_namespace(Id=namespace)["Namespace"]
    attributes = {
        "Id": namespace,
        "Arn": found["Arn"],
        "HostedZoneId": found["Properties"]["DnsProperties"]["HostedZoneId"],
    }
    return PhysicalResource(id=namespace, attributes=attributes)


def _create_service(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    service = cloud.call("servicediscovery", "create_service", {"Name": name, **properties})["Service"]
    return PhysicalResource(id=service["Id"], attributes={name: service[name] for name in ("Id", "Arn", "Name")})


def _update_service(cloud: Cloud, change: Change) -> PhysicalResource:
    wanted = {name: change.new[name] for name in ("Description", "DnsConfig") if name in change.new}
    if "DnsConfig" in wanted:
        wanted["DnsConfig"] = {"DnsRecords": wanted["DnsConfig"]["DnsRecords"]}
    cloud.call("servicediscovery", "update_service", {"Service": wanted}, Id=change.physical.id)
    return change.physical


KINDS = (
    Kind(
        type="AWS::ServiceDiscovery::PrivateDnsNamespace",
        create=_create_namespace,
        delete=deleted_by("servicediscovery", "delete_namespace", "Id"),
    ),
    Kind(
        type="AWS::ServiceDiscovery::Service",
        create=_create_service,
        update=_update_service,
        unchangeable=frozenset(("HealthCheckConfig", "Tags")),
        delete=deleted_by("servicediscovery", "delete_service", "Id"),
    ),
)
