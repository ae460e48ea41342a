"""Alarms on the embedded AWS API: they follow the functions' metrics, notify their topic, and one stands for all."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from local.alarms.evaluate import ALARM, OK
from local.alarms.watch import Alarms
from tests.support.aws_api import AwsApi

NOW = 1_800_000_060.0  # the end of a minute


class Clients:
    """The clients of the API, by the names of the services."""

    def __init__(self, api: AwsApi) -> None:
        self.cloudwatch, self.sns, self.sqs = (api.client(name) for name in ("cloudwatch", "sns", "sqs"))


@pytest.fixture
def clients(api: AwsApi) -> Clients:
    return Clients(api)


def emf(value: float, *, at: float, cluster: str) -> str:
    where = {"Namespace": "AirflowOnEcs", "Dimensions": [["cluster"]], "Metrics": [{"Name": "RunFailures"}]}
    record = {"_aws": {"Timestamp": at * 1000, "CloudWatchMetrics": [where]}, "cluster": cluster}
    return json.dumps({**record, "RunFailures": [value]}) + "\n"


def test_an_alarm_begins_ends_and_notifies_and_the_one_for_all_follows(clients: Clients, tmp_path: Path) -> None:
    name = uuid.uuid4().hex
    topic = clients.sns.create_topic(Name=name)["TopicArn"]
    queue = clients.sqs.create_queue(QueueName=name)["QueueUrl"]
    named = {"QueueUrl": queue, "AttributeNames": ["QueueArn"]}
    arn = clients.sqs.get_queue_attributes(**named)["Attributes"]["QueueArn"]
    clients.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    alarm: dict[str, Any] = {
        "AlarmName": f"stack-AlarmRunFailures-{name}",
        "Namespace": "AirflowOnEcs",
        "MetricName": "RunFailures",
        "Dimensions": [{"Name": "cluster", "Value": name}],
        "Period": 60,
        "EvaluationPeriods": 1,
        "Statistic": "Maximum",
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 0,
        "AlarmActions": [topic],
        "OKActions": [topic],
    }
    of_aws = {**alarm, "AlarmName": f"stack-AlarmDatabase-{name}", "Namespace": "AWS/RDS"}
    every = f"stack-AlarmEnvironment-{name}"
    for each in (alarm, of_aws):
        clients.cloudwatch.put_metric_alarm(**each)
    rule = " OR ".join(f'ALARM("{each["AlarmName"]}")' for each in (alarm, of_aws))
    clients.cloudwatch.put_composite_alarm(AlarmName=every, AlarmRule=rule)
    now = [NOW]
    alarms = Alarms(clients=clients, folder=tmp_path, clock=lambda: now[0])

    def tick(value: float) -> tuple[str, str, str]:
        with (tmp_path / "function.log").open("a") as log:
            log.write(emf(value, at=now[0] + 30, cluster=name))
        now[0] += 60
        states = alarms.tick()
        return states[alarm["AlarmName"]], states[every], states[of_aws["AlarmName"]]

    assert tick(0)[:2] == (OK, OK)
    assert tick(1)[:2] == (ALARM, ALARM)
    assert tick(2)[:2] == (ALARM, ALARM)  # no change, so no message
    assert tick(0) == (OK, OK, OK)
    messages = clients.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    told = [json.loads(json.loads(each["Body"])["Message"]) for each in messages]
    assert [each["NewStateValue"] for each in told if each["AlarmName"] == alarm["AlarmName"]][-2:] == [ALARM, OK]
    clients.cloudwatch.disable_alarm_actions(AlarmNames=[alarm["AlarmName"]])
    assert tick(1)[0] == ALARM
    assert "Messages" not in clients.sqs.receive_message(QueueUrl=queue)
