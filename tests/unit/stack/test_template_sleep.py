"""The sleeper in the template: its schedules, and the names that it shares with its code."""

import re
from pathlib import Path

import pytest

from shared import tags
from stack.sections import sleep
from tests.support import rendered

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("prefix", "desired_state"), [("Sleep", tags.ASLEEP), ("Wake", tags.AWAKE)])
def test_a_schedule_exists_only_when_it_is_set_and_sends_its_desired_state(prefix: str, desired_state: str) -> None:
    rule = rendered.deployed()["Resources"][f"{prefix}Rule"]
    assert rule["Condition"] == f"Has{prefix}Schedule"
    assert rule["Properties"]["ScheduleExpression"] == {"Ref": f"{prefix}Schedule"}
    (target,) = rule["Properties"]["Targets"]
    assert (target["Arn"], target["Input"]) == (
        {"Fn::GetAtt": ["SleeperFunction", "Arn"]},
        f'{{"want":"{desired_state}"}}',
    )
    permission = rendered.deployed()["Resources"][f"{prefix}RulePermission"]
    assert permission["Condition"] == f"Has{prefix}Schedule"
    assert permission["Properties"]["SourceArn"] == {"Fn::GetAtt": [f"{prefix}Rule", "Arn"]}


@pytest.mark.parametrize(
    ("expression", "is_accepted"),
    [
        ("", True),
        ("cron(0 19 ? * MON-FRI *)", True),
        ("cron(0/15 6 L * ? 2026)", True),
        ("rate(1 day)", False),
        ("0 19 * * *", False),
    ],
)
def test_a_schedule_accepts_only_a_cron_expression_of_eventbridge(expression: str, is_accepted: bool) -> None:
    pattern = rendered.deployed()["Parameters"]["SleepSchedule"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, expression)) is is_accepted


def test_the_sleeper_finds_all_alarms_by_their_prefix() -> None:
    """Check their logical ids: CloudFormation builds an alarm's name from the stack's name and its logical id."""
    variables = rendered.resources("AWS::Lambda::Function")["SleeperFunction"]["Environment"]["Variables"]
    assert variables["ALARM_PREFIX"] == {"Fn::Sub": sleep.ALARM_PREFIX}
    alarms = rendered.resources("AWS::CloudWatch::Alarm")
    assert alarms
    assert [title for title, alarm in alarms.items() if not title.startswith("Alarm") or "AlarmName" in alarm] == []


def test_the_sleeper_gets_every_variable_that_its_code_reads() -> None:
    code = (ROOT / "functions" / "sleeper" / "settings.py").read_text()
    asked = set(re.findall(r'^[A-Z_]+ = "([A-Z_]+)"', code, re.MULTILINE))
    variables = rendered.resources("AWS::Lambda::Function")["SleeperFunction"]["Environment"]["Variables"]
    assert asked <= variables.keys()


def test_a_failed_call_of_the_sleeper_is_retried_and_a_lost_one_is_published() -> None:
    function = rendered.resources("AWS::Lambda::Function")["SleeperFunction"]
    assert function["DeadLetterConfig"] == {"TargetArn": {"Ref": "AlarmTopic"}}
    configurations = rendered.resources("AWS::Lambda::EventInvokeConfig").values()
    (own,) = [each for each in configurations if each["FunctionName"] == {"Ref": "SleeperFunction"}]
    assert (own["MaximumRetryAttempts"], own["MaximumEventAgeInSeconds"]) == (2, 900)
