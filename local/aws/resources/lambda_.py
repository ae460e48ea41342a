"""AWS::Lambda resources: functions and who may invoke them."""

from __future__ import annotations

from local.aws.backend.cloud import Cloud
from local.aws.resources.kind import Change, Kind, Made, Properties, shortened, tag_map, without

NAME_LENGTH = 64
_NOT_CONFIGURATION = ("Architectures", "Code", "FunctionName", "PackageType", "ReservedConcurrentExecutions", "Tags")


def _reserve(cloud: Cloud, function: str, properties: Properties) -> None:
    if "ReservedConcurrentExecutions" in properties:
        cloud.client("lambda").put_function_concurrency(
            FunctionName=function, ReservedConcurrentExecutions=int(properties["ReservedConcurrentExecutions"])
        )


def _create_function(cloud: Cloud, name: str, properties: Properties) -> Made:
    plain = {
        "FunctionName": shortened(name, NAME_LENGTH),
        **without(properties, "ReservedConcurrentExecutions", "Tags"),
    }
    function = cloud.call("lambda", "create_function", plain, Tags=tag_map(properties) or None)
    _reserve(cloud, function["FunctionName"], properties)
    return Made(id=function["FunctionName"], attributes={"Arn": function["FunctionArn"]})


def _update_function(cloud: Cloud, change: Change) -> Made:
    if change.differs("Code") or change.differs("Architectures"):
        code = {**change.new["Code"], **{k: change.new[k] for k in ("Architectures",) if k in change.new}}
        cloud.call("lambda", "update_function_code", code, FunctionName=change.made.id)
    configuration = without(change.new, *_NOT_CONFIGURATION)
    cloud.call("lambda", "update_function_configuration", configuration, FunctionName=change.made.id)
    _reserve(cloud, change.made.id, change.new)
    return change.made


def _permit(cloud: Cloud, name: str, properties: Properties) -> Made:
    cloud.call("lambda", "add_permission", {"StatementId": name, **properties})
    return Made(id=name, attributes={"Id": name, "_function": properties["FunctionName"]})


def _forbid(cloud: Cloud, made: Made) -> None:
    cloud.client("lambda").remove_permission(FunctionName=made.attributes["_function"], StatementId=made.id)


def _put_invoke_config(cloud: Cloud, properties: Properties) -> Made:
    cloud.call("lambda", "put_function_event_invoke_config", properties)
    return Made(id=f"{properties['FunctionName']}|{properties['Qualifier']}")


def _delete_invoke_config(cloud: Cloud, made: Made) -> None:
    function, qualifier = made.id.rsplit("|", 1)
    cloud.client("lambda").delete_function_event_invoke_config(FunctionName=function, Qualifier=qualifier)


KINDS = (
    Kind(
        type="AWS::Lambda::Function",
        create=_create_function,
        update=_update_function,
        replaced_by=frozenset(("FunctionName", "PackageType")),
        delete=lambda cloud, made: cloud.client("lambda").delete_function(FunctionName=made.id),
    ),
    Kind(type="AWS::Lambda::Permission", create=_permit, delete=_forbid),
    Kind(
        type="AWS::Lambda::EventInvokeConfig",
        create=lambda cloud, _name, properties: _put_invoke_config(cloud, properties),
        update=lambda cloud, change: _put_invoke_config(cloud, change.new),
        replaced_by=frozenset(("FunctionName", "Qualifier")),
        delete=_delete_invoke_config,
    ),
)
