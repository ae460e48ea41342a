"""The topic that notifies people: alarms and the version check publish to it."""

from typing import Any

from troposphere import Equals, GetAtt, Not, Output, Ref, Template
from troposphere.sns import SubscriptionResource, Topic, TopicPolicy

from stack.lib.iam import POLICY_VERSION, allow_service
from stack.lib.parameters import FormGroup, Matching, add_condition

GROUP = "Alarms"


def add_topic(t: Template, *, key_arn: GetAtt) -> Topic:
    """Add an encrypted topic, with a subscription by e-mail if an address is given."""
    email = FormGroup(t, GROUP).add(
        "AlarmEmail",
        label="E-mail for alarms",
        description="Address that receives every alarm, once it has confirmed its subscription; empty for none.",
        constraint=Matching(
            regex=r"^([A-Za-z0-9._%+'-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+)?$", must_be="an e-mail address, or empty"
        ),
        default="",
    )
    has_email = add_condition(t, "HasAlarmEmail", Not(Equals(Ref(email), "")))
    topic = t.add_resource(Topic("AlarmTopic", KmsMasterKeyId=key_arn))
    alarms = allow_service("cloudwatch.amazonaws.com", action="sns:Publish", resource=Ref(topic))
    t.add_resource(
        TopicPolicy(
            "AlarmTopicPolicy",
            Topics=[Ref(topic)],
            PolicyDocument={
                "Version": POLICY_VERSION,
                "Statement": [{"Sid": "AlarmsOfThisAccount", **alarms}, _refuse_plain(topic)],
            },
        )
    )
    t.add_resource(
        SubscriptionResource(
            "AlarmTopicEmail", Condition=has_email, Endpoint=Ref(email), Protocol="email", TopicArn=Ref(topic)
        )
    )
    t.add_output(Output("AlarmTopicArn", Description="SNS topic to which alarms are published.", Value=Ref(topic)))
    return topic


def _refuse_plain(topic: Topic) -> dict[str, Any]:
    return {
        "Sid": "OnlyTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sns:Publish",
        "Resource": Ref(topic),
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
