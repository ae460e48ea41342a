"""The topic that people hear of: alarms and the version check publish to it."""

from troposphere import Equals, Not, Output, Ref, Template
from troposphere.sns import SubscriptionResource, Topic

from stack.declare import Matching, add_condition, add_parameter

GROUP = "Alarms"


def add_topic(t: Template) -> Topic:
    """A topic, with a subscription by e-mail if an address is given."""
    email = add_parameter(
        t,
        "AlarmEmail",
        group=GROUP,
        label="E-mail for alarms",
        description="Address that is sent every alarm, after it has confirmed; empty subscribes nobody to the topic.",
        constraint=Matching(
            regex=r"^([A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+)?$", says="an e-mail address, or empty"
        ),
        default="",
    )
    has_email = add_condition(t, "HasAlarmEmail", Not(Equals(Ref(email), "")))
    topic = t.add_resource(Topic("AlarmTopic"))
    t.add_resource(
        SubscriptionResource(
            "AlarmTopicEmail", Condition=has_email, Endpoint=Ref(email), Protocol="email", TopicArn=Ref(topic)
        )
    )
    t.add_output(Output("AlarmTopicArn", Description="SNS topic that is told of alarms.", Value=Ref(topic)))
    return topic
