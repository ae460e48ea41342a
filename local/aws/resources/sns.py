"""AWS::SNS resources: topics and subscriptions."""

from __future__ import annotations

import json

from local.aws.backend.cloud import Cloud
from local.aws.resources.kind import Change, Kind, PhysicalResource, Properties, deleted_by, refuse_others

_TOPIC_ATTRIBUTES = ("DisplayName", "KmsMasterKeyId")


def _create_topic(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    refuse_others(properties, ("TopicName", "Tags", *_TOPIC_ATTRIBUTES))
    topic = str(properties.get("TopicName", name))
    attributes = {key: str(properties[key]) for key in _TOPIC_ATTRIBUTES if key in properties}
    arn = cloud.call("sns", "create_topic", {"Name": topic, "Tags": properties.get("Tags", [])}, Attributes=attributes)
    return PhysicalResource(id=arn["TopicArn"], attributes={"TopicArn": arn["TopicArn"], "TopicName": topic})


def _update_topic(cloud: Cloud, change: Change) -> PhysicalResource:
    for name in _TOPIC_ATTRIBUTES:
        if change.differs(name):
            cloud.client("sns").set_topic_attributes(
                TopicArn=change.physical.id, AttributeName=name, AttributeValue=str(change.new.get(name, ""))
            )
    return change.physical


def _subscribe(cloud: Cloud, _name: str, properties: Properties) -> PhysicalResource:
    arn = cloud.call("sns", "subscribe", properties, ReturnSubscriptionArn=True)["SubscriptionArn"]
    return PhysicalResource(id=arn, attributes={"Arn": arn})


def _put_policy(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    for topic in properties["Topics"]:
        cloud.client("sns").set_topic_attributes(
            TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(properties["PolicyDocument"])
        )
    return PhysicalResource(id=name, attributes={"Id": name})


KINDS = (
    Kind(
        type="AWS::SNS::Topic",
        create=_create_topic,
        update=_update_topic,
        unchangeable=frozenset(("Tags",)),
        delete=deleted_by("sns", "delete_topic", "TopicArn"),
    ),
    Kind(
        type="AWS::SNS::Subscription",
        create=_subscribe,
        delete=deleted_by("sns", "unsubscribe", "SubscriptionArn"),
    ),
    Kind(
        type="AWS::SNS::TopicPolicy",
        create=_put_policy,
        update=lambda cloud, change: _put_policy(cloud, change.physical.id, change.new),
        # A topic always has a policy, which is deleted with the topic.
        delete=lambda _cloud, _made: None,
    ),
)
