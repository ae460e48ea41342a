"""The rule that tells of AWS's notices, and the function that it invokes."""

import re
from pathlib import Path
from typing import Any

from local.lambdas.schedules import matches
from tests.support import rendered

ROOT = Path(__file__).parents[3]
# An event as ECS's documentation has it, without its texts.
NOTICE: dict[str, Any] = {
    "version": "0",
    "detail-type": "AWS Health Event",
    "source": "aws.health",
    "account": "123456789012",
    "region": "us-east-1",
    "resources": ["cluster|service", "cluster|service"],
    "detail": {
        "eventArn": "arn:aws:health:us-east-1::event/ECS/AWS_ECS_TASK_PATCHING_RETIREMENT/x",
        "service": "ECS",
        "eventScopeCode": "ACCOUNT_SPECIFIC",
        "eventRegion": "us-east-1",
        "eventTypeCode": "AWS_ECS_TASK_PATCHING_RETIREMENT",
        "eventTypeCategory": "scheduledChange",
    },
}


def test_a_notice_of_retirement_invokes_the_function() -> None:
    rule = rendered.resources("AWS::Events::Rule")["RetirementFunctionNotice"]
    assert rule["EventPattern"] == {
        "source": ["aws.health"],
        "detail-type": ["AWS Health Event"],
        "detail": {"service": ["ECS"], "eventTypeCode": ["AWS_ECS_TASK_PATCHING_RETIREMENT"]},
    }
    assert matches(rule["EventPattern"], NOTICE)
    assert not matches(rule["EventPattern"], {**NOTICE, "detail": {**NOTICE["detail"], "service": "EC2"}})
    (target,) = rule["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": ["RetirementFunction", "Arn"]}


def test_a_lost_notice_is_retried_and_then_published() -> None:
    function = rendered.resources("AWS::Lambda::Function")["RetirementFunction"]
    assert function["DeadLetterConfig"] == {"TargetArn": {"Ref": "AlarmTopic"}}
    configurations = rendered.resources("AWS::Lambda::EventInvokeConfig").values()
    (own,) = [each for each in configurations if each["FunctionName"] == {"Ref": "RetirementFunction"}]
    assert own["MaximumRetryAttempts"] == 2


def test_the_function_gets_every_variable_that_its_code_reads() -> None:
    code = (ROOT / "functions" / "retirement" / "settings.py").read_text()
    asked = set(re.findall(r'^[A-Z_]+ = "([A-Z_]+)"', code, re.MULTILINE)) | {"CLUSTER"}
    variables = rendered.resources("AWS::Lambda::Function")["RetirementFunction"]["Environment"]["Variables"]
    assert asked <= variables.keys()


def test_the_autoscaler_gets_the_workers_maximum_age() -> None:
    variables = rendered.resources("AWS::Lambda::Function")["AutoscalerFunction"]["Environment"]["Variables"]
    assert variables["MAX_AGE_HOURS"] == {"Ref": "MaxWorkerAgeHours"}
