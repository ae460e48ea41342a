"""AWS::CertificateManager::Certificate: validated by a record in a hosted zone, as CloudFormation makes it."""

from __future__ import annotations

from typing import Any

from local.aws.backend.cloud import Cloud
from local.aws.backend.shapes import UnsupportedProperty
from local.aws.resources.kind import Kind, PhysicalResource, Properties, Unstable, deleted_by, without

_RECORD_TTL_S = 300


def _create(cloud: Cloud, _name: str, properties: Properties) -> PhysicalResource:
    """Request the certificate, and add the record that ACM asks for to the zone."""
    zones = {each["DomainName"]: each.get("HostedZoneId") for each in properties.get("DomainValidationOptions", ())}
    zone = zones.get(properties["DomainName"])
    if properties.get("ValidationMethod") != "DNS" or not zone:
        raise UnsupportedProperty("the local AWS API validates certificates by DNS in a hosted zone only")
    request = without(properties, "DomainValidationOptions")
    arn = str(cloud.call("acm", "request_certificate", request)["CertificateArn"])
    _change(cloud, arn, zone, action="UPSERT")
    return PhysicalResource(id=arn, attributes={"_zone": zone})


def _change(cloud: Cloud, arn: str, zone: str, *, action: str) -> None:
    (asked,) = _described(cloud, arn)["DomainValidationOptions"]
    record = {
        "Name": asked["ResourceRecord"]["Name"],
        "Type": asked["ResourceRecord"]["Type"],
        "TTL": _RECORD_TTL_S,
        "ResourceRecords": [{"Value": asked["ResourceRecord"]["Value"]}],
    }
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
    cloud.client("route53").change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)


def _is_issued(cloud: Cloud, physical: PhysicalResource) -> bool:
    """Whether ACM has seen the record, which it looks for in the public DNS: nothing else would ever be issued."""
    zone = cloud.client("route53").get_hosted_zone(Id=physical.attributes["_zone"])["HostedZone"]
    if zone["Config"]["PrivateZone"]:
        raise Unstable(f"the certificate stays PENDING_VALIDATION: the hosted zone {zone['Id']} is private")
    return bool(_described(cloud, physical.id)["Status"] == "ISSUED")


def _described(cloud: Cloud, arn: str) -> Any:
    return cloud.client("acm").describe_certificate(CertificateArn=arn)["Certificate"]


KINDS = (
    Kind(
        type="AWS::CertificateManager::Certificate",
        create=_create,
        delete=deleted_by("acm", "delete_certificate", "CertificateArn"),
        is_stable=_is_issued,
    ),
)
