"""The rule that tells of AWS's notices, and the function that it invokes."""

import re
from pathlib import Path

from tests.support import rendered

ROOT = Path(__file__).parents[3]


def test_a_notice_of_retirement_invokes_the_function() -> None:
    rule = rendered.resources("AWS::Events::Rule")["RetirementFunctionNotice"]
    assert rule["EventPattern"] == {
        "source": ["aws.health"],
        "detail-type": ["AWS Health Event"],
        "detail": {"service": ["ECS"], "eventTypeCode": ["AWS_ECS_TASK_PATCHING_RETIREMENT"]},
    }
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
