"""The local stack supports some rules of EventBridge and refuses the others."""

from typing import Any

import pytest

from local.lambdas.schedules import UnsupportedRule, matches, period_s


@pytest.mark.parametrize(
    ("expression", "seconds"), [("rate(1 minute)", 60), ("rate(5 minutes)", 300), ("rate(2 hours)", 7200)]
)
def test_a_rate_is_read_as_seconds(expression: str, seconds: int) -> None:
    assert period_s(expression) == seconds


@pytest.mark.parametrize("expression", ["cron(0 1 * * ? *)", "rate(1 fortnight)", "rate(minute)", ""])
def test_any_other_schedule_is_refused_by_name(expression: str) -> None:
    with pytest.raises(UnsupportedRule, match="not supported locally"):
        period_s(expression)


EVENT: dict[str, Any] = {
    "source": "aws.ecs",
    "resources": ["arn:1"],
    "detail": {"eventName": "SERVICE_DEPLOYMENT_COMPLETED"},
}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({"source": ["aws.ecs"]}, True),
        ({"source": ["aws.rds"]}, False),
        ({"resources": ["arn:1", "arn:2"]}, True),
        ({"resources": ["arn:2"]}, False),
        ({"resources": [{"prefix": "arn:"}]}, True),
        ({"resources": ["x", {"prefix": "arn:1"}]}, True),
        ({"resources": [{"prefix": "arn:2"}]}, False),
        ({"detail": {"missing": [{"prefix": ""}]}}, False),
        ({"detail": {"eventName": ["SERVICE_DEPLOYMENT_COMPLETED"]}}, True),
        ({"detail": {"eventName": ["SERVICE_DEPLOYMENT_FAILED"]}}, False),
        ({"detail": {"missing": ["x"]}}, False),
        ({"source": ["aws.ecs"], "resources": ["arn:2"]}, False),
    ],
)
def test_an_event_matches_when_every_field_does(pattern: dict[str, Any], expected: bool) -> None:
    assert matches(pattern, EVENT) is expected


def test_an_operator_in_a_pattern_is_refused() -> None:
    with pytest.raises(UnsupportedRule, match="operator"):
        matches({"source": [{"anything-but": "aws.ecs"}]}, EVENT)
