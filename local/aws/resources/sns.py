"""AWS::SNS resources: topics and subscriptions."""

from __future__ import annotations

import json

from local.aws.backend.cloud import Cloud
from local.aws.backend.shapes import UnsupportedProperty
from local.aws.resources.kind import Change, Kind, Made, Properties

_TOPIC_ATTRIBUTES = ("DisplayName", "KmsMasterKeyId")


def _create_topic(cloud: Cloud, name: str, properties: Properties) -> Made:
    if unknown := sorted(set(properties) - {"TopicName", "Tags", *_TOPIC_ATTRIBUTES}):
        raise UnsupportedProperty(f"property {unknown[0]} is not supported")
    topic = str(properties.get("TopicName", name))
    attributes = {key: str(properties[key]) for key in _TOPIC_ATTRIBUTES if key in properties}
    arn = cloud.call("sns", "create_topic", {"Name": topic, "Tags": properties.get("Tags", [])}, Attributes=attributes)
    return Made(id=arn["TopicArn"], attributes={"TopicArn": arn["TopicArn"], "TopicName": topic})


def _update_topic(cloud: Cloud, change: Change) -> Made:
    for name in _TOPIC_ATTRIBUTES:
        if change.differs(name):
            cloud.client("sns").set_topic_attributes(
                TopicArn=change.made.id, AttributeName=name, AttributeValue=str(change.new.get(name, ""))
            )
    return change.made


def _subscribe(cloud: Cloud, _name: str, properties: Properties) -> Made:
    arn = cloud.call("sns", "subscribe", properties, ReturnSubscriptionArn=True)["SubscriptionArn"]
    return Made(id=arn, attributes={"Arn": arn})


def _put_policy(cloud: Cloud, name: str, properties: Properties) -> Made:
    for topic in properties["Topics"]:
        cloud.client("sns").set_topic_attributes(
            TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(properties["PolicyDocument"])
        )
    return Made(id=name, attributes={"Id": name})


KINDS = (
    Kind(
        type="AWS::SNS::Topic",
        create=_create_topic,
        update=_update_topic,
        replaced_by=frozenset(("TopicName", "Tags")),
        delete=lambda cloud, made: cloud.client("sns").delete_topic(TopicArn=made.id),
    ),
    Kind(
        type="AWS::SNS::Subscription",
        create=_subscribe,
        delete=lambda cloud, made: cloud.client("sns").unsubscribe(SubscriptionArn=made.id),
    ),
    Kind(
        type="AWS::SNS::TopicPolicy",
        create=_put_policy,
        update=lambda cloud, change: _put_policy(cloud, change.made.id, change.new),
        # A topic always has a policy: it goes with the topic.
        delete=lambda _cloud, _made: None,
    ),
)
