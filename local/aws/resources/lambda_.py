"""AWS::Lambda resources: functions, permissions to invoke them, and invoke configurations."""

from __future__ import annotations

import contextlib
import threading

from botocore.exceptions import BotoCoreError, ClientError

from local.aws.backend.cloud import Cloud
from local.aws.resources.attachments import LAMBDA_INTERFACE
from local.aws.resources.kind import Change, Kind, PhysicalResource, Properties, shortened, tag_map, without

NAME_LENGTH = 64
INTERFACES_LINGER_S = 1.0  # up to 45 minutes on AWS
_NOT_CONFIGURATION = ("Architectures", "Code", "FunctionName", "PackageType", "ReservedConcurrentExecutions", "Tags")


def _reserve(cloud: Cloud, function: str, properties: Properties) -> None:
    if "ReservedConcurrentExecutions" in properties:
        cloud.client("lambda").put_function_concurrency(
            FunctionName=function, ReservedConcurrentExecutions=int(properties["ReservedConcurrentExecutions"])
        )


def _create_function(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    plain = {
        "FunctionName": shortened(name, NAME_LENGTH),
        **without(properties, "ReservedConcurrentExecutions", "Tags"),
    }
    function = cloud.call("lambda", "create_function", plain, Tags=tag_map(properties) or None)
    _reserve(cloud, function["FunctionName"], properties)
    attributes = {
        "Arn": function["FunctionArn"],
        "_role": str(properties["Role"]).rpartition("/")[2],
        "_interfaces": _attach(cloud, function["FunctionName"], properties.get("VpcConfig") or {}),
    }
    return PhysicalResource(id=function["FunctionName"], attributes=attributes)


def _attach(cloud: Cloud, function: str, network: Properties) -> list[str]:
    """Create the network interfaces by which Lambda connects a function to its subnets."""
    ec2, description = cloud.client("ec2"), f"{LAMBDA_INTERFACE}{function}"
    groups = list(network.get("SecurityGroupIds", []))
    made = [
        ec2.create_network_interface(SubnetId=subnet, Groups=groups, Description=description)
        for subnet in network.get("SubnetIds", [])
    ]
    return [each["NetworkInterface"]["NetworkInterfaceId"] for each in made]


def _delete_function(cloud: Cloud, physical: PhysicalResource) -> None:
    """Delete the function. Lambda deletes its network interfaces later, with its role, or never without the role."""
    cloud.client("lambda").delete_function(FunctionName=physical.id)
    threading.Timer(INTERFACES_LINGER_S, _detach, (cloud, physical)).start()


def _detach(cloud: Cloud, physical: PhysicalResource) -> None:
    with contextlib.suppress(ClientError, BotoCoreError):
        cloud.client("iam").get_role(RoleName=physical.attributes["_role"])
        for interface in physical.attributes["_interfaces"]:
            cloud.client("ec2").delete_network_interface(NetworkInterfaceId=interface)


def _update_function(cloud: Cloud, change: Change) -> PhysicalResource:
    if change.differs("Code") or change.differs("Architectures"):
        code = {**change.new["Code"], **{k: change.new[k] for k in ("Architectures",) if k in change.new}}
        cloud.call("lambda", "update_function_code", code, FunctionName=change.physical.id)
    configuration = without(change.new, *_NOT_CONFIGURATION)
    cloud.call("lambda", "update_function_configuration", configuration, FunctionName=change.physical.id)
    _reserve(cloud, change.physical.id, change.new)
    return change.physical


def _permit(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    cloud.call("lambda", "add_permission", {"StatementId": name, **properties})
    return PhysicalResource(id=name, attributes={"Id": name, "_function": properties["FunctionName"]})


def _forbid(cloud: Cloud, physical: PhysicalResource) -> None:
    cloud.client("lambda").remove_permission(FunctionName=physical.attributes["_function"], StatementId=physical.id)


def _put_invoke_config(cloud: Cloud, properties: Properties) -> PhysicalResource:
    cloud.call("lambda", "put_function_event_invoke_config", properties)
    return PhysicalResource(id=f"{properties['FunctionName']}|{properties['Qualifier']}")


def _delete_invoke_config(cloud: Cloud, physical: PhysicalResource) -> None:
    function, qualifier = physical.id.rsplit("|", 1)
    cloud.client("lambda").delete_function_event_invoke_config(FunctionName=function, Qualifier=qualifier)


KINDS = (
    Kind(
        type="AWS::Lambda::Function",
        create=_create_function,
        update=_update_function,
        delete=_delete_function,
    ),
    Kind(type="AWS::Lambda::Permission", create=_permit, delete=_forbid),
    Kind(
        type="AWS::Lambda::EventInvokeConfig",
        create=lambda cloud, _name, properties: _put_invoke_config(cloud, properties),
        update=lambda cloud, change: _put_invoke_config(cloud, change.new),
        delete=_delete_invoke_config,
    ),
)
