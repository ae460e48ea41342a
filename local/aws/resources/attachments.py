"""Refuses, as EC2 does, to delete what one of Lambda's network interfaces still uses."""

from __future__ import annotations

from botocore.exceptions import ClientError

from local.aws.backend.cloud import Cloud

LAMBDA_INTERFACE = "AWS Lambda VPC ENI-"  # how the description of each begins


def refuse_if_attached(cloud: Cloud, identifier: str, filter_name: str) -> None:
    """Raise ClientError if an interface of Lambda is attached to the resource; `filter_name` is EC2's for its kind.

    moto deletes it all the same. Other interfaces do not count: moto leaves those of NAT gateways behind.
    """
    by_resource = [{"Name": filter_name, "Values": [identifier]}]
    found = cloud.client("ec2").describe_network_interfaces(Filters=by_resource)["NetworkInterfaces"]
    if any(str(each.get("Description")).startswith(LAMBDA_INTERFACE) for each in found):
        said = f"resource {identifier} has a dependent object"
        raise ClientError({"Error": {"Code": "DependencyViolation", "Message": said}}, "Delete")
