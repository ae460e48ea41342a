"""The sleeper in the template: its schedules, and the words that it shares with its code."""

import re
from pathlib import Path

import pytest

from shared import tags
from stack.sections import sleep
from tests.support import rendered

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("prefix", "wanted"), [("Sleep", tags.ASLEEP), ("Wake", tags.AWAKE)])
def test_a_schedule_is_there_only_when_it_is_given_and_says_what_is_wanted(prefix: str, wanted: str) -> None:
    rule = rendered.deployed()["Resources"][f"{prefix}Rule"]
    assert rule["Condition"] == f"Has{prefix}Schedule"
    assert rule["Properties"]["ScheduleExpression"] == {"Ref": f"{prefix}Schedule"}
    (target,) = rule["Properties"]["Targets"]
    assert (target["Arn"], target["Input"]) == ({"Fn::GetAtt": ["SleeperFunction", "Arn"]}, f'{{"want":"{wanted}"}}')
    permission = rendered.deployed()["Resources"][f"{prefix}RulePermission"]
    assert permission["Condition"] == f"Has{prefix}Schedule"
    assert permission["Properties"]["SourceArn"] == {"Fn::GetAtt": [f"{prefix}Rule", "Arn"]}


@pytest.mark.parametrize(
    ("expression", "taken"),
    [
        ("", True),
        ("cron(0 19 ? * MON-FRI *)", True),
        ("cron(0/15 6 L * ? 2026)", True),
        ("rate(1 day)", False),
        ("0 19 * * *", False),
    ],
)
def test_only_an_expression_of_eventbridge_is_taken(expression: str, taken: bool) -> None:
    pattern = rendered.deployed()["Parameters"]["SleepSchedule"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, expression)) is taken


def test_the_sleeper_finds_all_alarms_by_their_prefix() -> None:
    """CloudFormation names them by the stack and the logical id."""
    variables = rendered.resources("AWS::Lambda::Function")["SleeperFunction"]["Environment"]["Variables"]
    assert variables["ALARM_PREFIX"] == {"Fn::Sub": sleep.ALARM_PREFIX}
    alarms = rendered.resources("AWS::CloudWatch::Alarm")
    assert alarms
    assert [title for title, alarm in alarms.items() if not title.startswith("Alarm") or "AlarmName" in alarm] == []


def test_the_sleeper_is_told_everything_that_its_code_asks_for() -> None:
    code = (ROOT / "functions" / "sleeper" / "settings.py").read_text()
    asked = set(re.findall(r'^[A-Z_]+ = "([A-Z_]+)"', code, re.MULTILINE))
    variables = rendered.resources("AWS::Lambda::Function")["SleeperFunction"]["Environment"]["Variables"]
    assert asked <= variables.keys()


def test_a_wish_that_fails_is_tried_again_and_people_hear_of_one_that_is_lost() -> None:
    function = rendered.resources("AWS::Lambda::Function")["SleeperFunction"]
    assert function["DeadLetterConfig"] == {"TargetArn": {"Ref": "AlarmTopic"}}
    configurations = rendered.resources("AWS::Lambda::EventInvokeConfig").values()
    (own,) = [each for each in configurations if each["FunctionName"] == {"Ref": "SleeperFunction"}]
    assert (own["MaximumRetryAttempts"], own["MaximumEventAgeInSeconds"]) == (2, 900)
