"""What tasks of a pool may publish to."""

from __future__ import annotations

import pytest

from stack.lib.topics import publish_to
from stack.sections.pools import DeclaredPool
from template_gen import build


def test_a_pool_publishes_to_the_topics_that_it_declares_and_no_other_does() -> None:
    loud = DeclaredPool(name="loud", queues=("loud",), publishes=("alerts", "of-${AWS::StackName}", "order.fifo"))
    template = build((DeclaredPool(name="worker", queues=("default",)), loud)).to_dict()
    arn = "arn:${AWS::Partition}:sns:${AWS::Region}:${AWS::AccountId}"

    def publishing(role: str) -> list[object]:
        (policy,) = template["Resources"][role]["Properties"]["Policies"]
        statements = [each for each in policy["PolicyDocument"]["Statement"] if "sns:Publish" in each.get("Action", ())]
        return [resource["Fn::Sub"] for statement in statements for resource in statement["Resource"]]

    assert publishing("LoudTaskRole") == [f"{arn}:alerts", f"{arn}:of-${{AWS::StackName}}", f"{arn}:order.fifo"]
    assert publishing("WorkerTaskRole") == []


@pytest.mark.parametrize("name", ["", "a*", "arn:aws:sns:eu-west-1:123456789012:a", "a b", "${AWS::StackName}-Alarms"])
def test_what_is_no_topic_of_the_teams_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="topic"):
        publish_to((name,))
