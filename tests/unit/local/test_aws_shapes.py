"""CloudFormation properties become requests, without loss or addition."""

from typing import Any

import botocore.session
import pytest
from botocore.model import StructureShape

from local.aws.backend.shapes import UnsupportedProperty, request_of


def _shape(service: str, operation: str) -> StructureShape:
    shape = botocore.session.get_session().get_service_model(service).operation_model(operation).input_shape
    assert shape is not None
    return shape


TASK = _shape("ecs", "RegisterTaskDefinition")


def test_members_change_case_and_free_keys_do_not() -> None:
    properties = {
        "Family": "f",
        "ContainerDefinitions": [
            {
                "Name": "c",
                "LogConfiguration": {"LogDriver": "awslogs", "Options": {"Awslogs-Group": "g"}},
                "HealthCheck": {"Command": ["CMD", "x"], "StartPeriod": "30"},
                "StopTimeout": "120",
                "Essential": "false",
            }
        ],
    }
    assert request_of(TASK, properties) == {
        "family": "f",
        "containerDefinitions": [
            {
                "name": "c",
                "logConfiguration": {"logDriver": "awslogs", "options": {"Awslogs-Group": "g"}},
                "healthCheck": {"command": ["CMD", "x"], "startPeriod": 30},
                "stopTimeout": 120,
                "essential": False,
            }
        ],
    }


def test_a_policy_document_becomes_json() -> None:
    request = request_of(_shape("iam", "CreateRole"), {"RoleName": "r", "AssumeRolePolicyDocument": {"Version": "v"}})
    assert request == {"RoleName": "r", "AssumeRolePolicyDocument": '{"Version": "v"}'}


@pytest.mark.parametrize(
    ("properties", "why"),
    [
        ({"Famly": "f"}, "property Famly is not supported"),
        ({"ContainerDefinitions": [{"Nam": "c"}]}, r"property ContainerDefinitions\[0\].Nam is not supported"),
        ({"ContainerDefinitions": {"Name": "c"}}, "ContainerDefinitions must be a list"),
        ({"EphemeralStorage": 21}, "EphemeralStorage must be a mapping"),
        ({"ContainerDefinitions": [{"Cpu": "much"}]}, "'much' is not of type integer"),
        ({"ContainerDefinitions": [{"Essential": "maybe"}]}, "'maybe' is not of type boolean"),
        ({"Family": ["f"]}, "is not of type string"),
    ],
)
def test_a_property_that_does_not_fit_is_refused_with_its_path(properties: dict[str, Any], why: str) -> None:
    with pytest.raises(UnsupportedProperty, match=why):
        request_of(TASK, properties)
