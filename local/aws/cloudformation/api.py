"""The CloudFormation API of the engine, in place of moto's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from moto.core.responses import ActionResult, BaseResponse, EmptyResult

from cfn.template import Template, TemplateError, parse, transforms
from local.aws.backend.errors import ApiError
from local.aws.cloudformation.engine import Engine
from local.aws.cloudformation.stacks import ChangeSet, Event, Resource, Stack

EVENTS_A_PAGE = 100


class ValidationError(ApiError):
    """The request is not acceptable."""

    code = "ValidationError"


class CloudFormationApi(BaseResponse):  # type: ignore[misc]  # mypy is told not to look into moto
    """One request. The engine is a class attribute, set at start, because moto makes an instance for each request."""

    engine: ClassVar[Engine]

    def __init__(self) -> None:
        super().__init__(service_name="cloudformation")
        self.automated_parameter_parsing = True

    def call_action(self) -> Any:
        try:
            return super().call_action()
        except TemplateError as error:
            status, headers, body = self.serialized(ActionResult(ValidationError(str(error))))
            return status, headers, body

    def create_change_set(self) -> ActionResult:
        name = self._get_param("StackName")
        kind = self._get_param("ChangeSetType", "UPDATE")
        if kind not in ("CREATE", "UPDATE"):
            raise ValidationError(f"The local AWS API does not support change sets of type {kind}")
        stack, change_set = self._propose(name, self._get_param("ChangeSetName"), kind)
        return ActionResult({"Id": change_set.id, "StackId": stack.id})

    def _propose(self, stack_name: str, change_set_name: str, kind: str) -> tuple[Stack, ChangeSet]:
        return self.engine.propose(
            self.region,
            stack_name=stack_name,
            name=change_set_name,
            kind=kind,
            body=self._body(stack_name),
            parameters=self._parameters(stack_name),
            tags={tag["Key"]: tag["Value"] for tag in self._get_param("Tags", [])},
            description=self._get_param("Description"),
        )

    def _body(self, stack_name: str | None) -> str:
        if url := self._get_param("TemplateURL"):
            return self.engine.body_at(self.region, url)
        if body := self._get_param("TemplateBody"):
            return str(body)
        if stack_name and (self._get_param("UsePreviousTemplate") or self._get_action() == "GetTemplateSummary"):
            evaluated = self.engine.stack(self.region, stack_name).evaluated
            if evaluated is not None:
                return evaluated.body
        raise ValidationError("Either Template URL or Template Body must be specified.")

    def _parameters(self, stack_name: str) -> dict[str, str]:
        values = {}
        for parameter in self._get_param("Parameters", []):
            name = parameter["ParameterKey"]
            if parameter.get("UsePreviousValue"):
                evaluated = self.engine.stack(self.region, stack_name).evaluated
                if evaluated is not None and name in evaluated.given:
                    values[name] = evaluated.given[name]
            else:
                values[name] = parameter.get("ParameterValue", "")
        return values

    def describe_change_set(self) -> ActionResult:
        stack, change_set = self._change_set()
        return ActionResult(
            {
                "ChangeSetName": change_set.name,
                "ChangeSetId": change_set.id,
                "StackId": stack.id,
                "StackName": stack.name,
                "Description": change_set.description,
                "CreationTime": change_set.created_at,
                "ExecutionStatus": change_set.execution_status,
                "Status": change_set.status,
                "StatusReason": change_set.reason,
                "Parameters": _parameters(change_set.evaluated.given),
                "Tags": _tags(change_set.evaluated.tags),
                "Changes": [
                    {
                        "Type": "Resource",
                        "ResourceChange": {
                            "Action": change.action,
                            "LogicalResourceId": change.logical_id,
                            "PhysicalResourceId": change.physical_id,
                            "ResourceType": change.type,
                            "Replacement": change.replacement,
                        },
                    }
                    for change in change_set.changes
                ],
            }
        )

    def _change_set(self) -> tuple[Stack, ChangeSet]:
        return self.engine.change_set(self.region, self._get_param("ChangeSetName"), self._get_param("StackName"))

    def execute_change_set(self) -> ActionResult:
        self.engine.execute(self.region, *self._change_set())
        return EmptyResult()

    def delete_change_set(self) -> ActionResult:
        stack, change_set = self._change_set()
        del stack.change_sets[change_set.id]
        return EmptyResult()

    def delete_stack(self) -> ActionResult:
        self.engine.delete(self.region, self._get_param("StackName"))
        return EmptyResult()

    def describe_stacks(self) -> ActionResult:
        name = self._get_param("StackName")
        stacks = [self.engine.stack(self.region, name)] if name else self._living()
        return ActionResult({"Stacks": [_stack(stack) for stack in stacks]})

    def _living(self) -> list[Stack]:
        return [stack for stack in self.engine.stacks(self.region) if stack.status != "DELETE_COMPLETE"]

    def describe_stack_events(self) -> ActionResult:
        stack = self.engine.stack(self.region, self._get_param("StackName"))
        newest_first = list(reversed(stack.events))
        start = int(self._get_param("NextToken", "0"))
        # Tokens count from the oldest event, because new events arrive while a client reads pages.
        first = len(newest_first) - start if start else 0
        page = newest_first[first : first + EVENTS_A_PAGE]
        left = len(newest_first) - first - len(page)
        return ActionResult(
            {"StackEvents": [_event(stack, event) for event in page], "NextToken": str(left) if left else None}
        )

    def describe_stack_resource(self) -> ActionResult:
        stack, name = self._stack(), self._get_param("LogicalResourceId")
        if name not in stack.resources:
            raise ValidationError(f"Resource {name} does not exist for stack {stack.name}")
        return ActionResult({"StackResourceDetail": _resource(stack, stack.resources[name])})

    def describe_stack_resources(self) -> ActionResult:
        stack, wanted = self._stack(), self._get_param("LogicalResourceId")
        resources = [r for name, r in list(stack.resources.items()) if wanted in (None, name)]
        return ActionResult({"StackResources": [_resource(stack, resource) for resource in resources]})

    def _stack(self) -> Stack:
        return self.engine.stack(self.region, self._get_param("StackName"))

    def get_template(self) -> ActionResult:
        stack = self._stack()
        if stack.evaluated is None:
            raise ValidationError(f"Stack {stack.name} has no template yet")
        processed = self._get_param("TemplateStage", "Processed") == "Processed"
        body: Any = stack.evaluated.template if processed else stack.evaluated.body
        return ActionResult({"TemplateBody": body, "StagesAvailable": ["Original", "Processed"]})

    def get_template_summary(self) -> ActionResult:
        return ActionResult(_summary(parse(self._body(self._get_param("StackName")))))


def _stack(stack: Stack) -> dict[str, Any]:
    given = stack.evaluated.given if stack.evaluated else {}
    declared = (stack.evaluated.template.get("Parameters") or {}) if stack.evaluated else {}
    shown = {
        name: "****" if rule.get("NoEcho") else str(given.get(name, rule.get("Default")))
        for name, rule in declared.items()
    }
    return {
        "StackId": stack.id,
        "StackName": stack.name,
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason,
        "CreationTime": stack.created_at,
        "LastUpdatedTime": stack.updated_at,
        "Parameters": _parameters(shown),
        "Outputs": stack.outputs,
        "Tags": _tags(stack.evaluated.tags if stack.evaluated else {}),
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        "EnableTerminationProtection": False,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
    }


def _event(stack: Stack, event: Event) -> dict[str, Any]:
    return {
        "StackId": stack.id,
        "StackName": stack.name,
        "EventId": event.id,
        "LogicalResourceId": event.logical_id,
        "PhysicalResourceId": event.physical_id,
        "ResourceType": event.type,
        "Timestamp": event.at,
        "ResourceStatus": event.status,
        "ResourceStatusReason": event.reason,
    }


def _resource(stack: Stack, resource: Resource) -> dict[str, Any]:
    return {
        "StackId": stack.id,
        "StackName": stack.name,
        "LogicalResourceId": resource.logical_id,
        "PhysicalResourceId": resource.physical.id,
        "ResourceType": resource.kind.type,
        "ResourceStatus": "CREATE_COMPLETE",
        "Timestamp": resource.changed_at,
        "LastUpdatedTimestamp": resource.changed_at,
    }


def _summary(template: Template) -> dict[str, Any]:
    declared = template.get("Parameters") or {}
    return {
        "Description": template.get("Description"),
        "Parameters": [
            {
                "ParameterKey": name,
                "ParameterType": rule.get("Type"),
                "DefaultValue": None if "Default" not in rule else str(rule["Default"]),
                "NoEcho": bool(rule.get("NoEcho", False)),
                "Description": rule.get("Description"),
                "ParameterConstraints": {"AllowedValues": [str(value) for value in rule.get("AllowedValues", [])]},
            }
            for name, rule in declared.items()
        ],
        "ResourceTypes": sorted({resource["Type"] for resource in template.get("Resources", {}).values()}),
        "DeclaredTransforms": transforms(template),
        "Capabilities": ["CAPABILITY_IAM"],
    }


def _parameters(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": name, "Value": value} for name, value in tags.items()]
