"""The embedded AWS API starts, listens on 127.0.0.1 only, and ends when it should."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.aws_api import BROKER, DATABASE, ROOT, AwsApi, aws_api

# Far more than it needs, for busy machines.
EXIT_S = 20


def _argv(port: int, *options: str) -> list[str]:
    return [
        *(sys.executable, "-m", "local.aws", "--port", str(port)),
        *("--database", DATABASE, "--broker", BROKER, *options),
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_cleanly(number: signal.Signals) -> None:
    with aws_api() as api:
        api.client("s3").list_buckets()
        api.process.send_signal(number)
        assert api.process.wait(EXIT_S) == 0


def _sockets(pid: int) -> set[str]:
    """Return the inodes of a process's sockets. A descriptor that it closes meanwhile is no listener."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            name = link.readlink().name
            if name.startswith("socket:"):
                inodes.add(name.removeprefix("socket:[").removesuffix("]"))
    return inodes


def test_the_server_listens_on_the_loopback_only() -> None:
    with aws_api() as api:
        sockets = _sockets(api.process.pid)
        listening = set()
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/{api.process.pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and fields[9] in sockets:
                    listening.add((table, fields[1]))
        loopback = int.from_bytes(socket.inet_aton("127.0.0.1"), sys.byteorder)
        assert listening == {("tcp", f"{loopback:08X}:{api.port:04X}")}


def test_a_taken_port_is_reported_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(_argv(port), cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr == f"local.aws: cannot listen on port {port}: Address already in use\n"


def test_an_invalid_address_is_refused() -> None:
    argv = [*_argv(1), "--database", "localhost"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "'localhost' is not HOST:PORT" in done.stderr


def test_a_rules_queue_gets_the_events_that_match_and_no_schedule_stands_in_their_way(api: AwsApi) -> None:
    events, sqs = api.client("events"), api.client("sqs")
    function = f"arn:aws:lambda:{api.region}:123456789012:function:a"
    events.put_rule(Name="each-minute", ScheduleExpression="rate(1 minute)")
    events.put_targets(Rule="each-minute", Targets=[{"Id": "function", "Arn": function}])
    queue = sqs.create_queue(QueueName="events")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    for name, target in (("to-queue", arn), ("to-function", function)):
        events.put_rule(Name=name, EventPattern=json.dumps({"source": ["airflow-on-ecs"], "detail": {"dag_id": ["a"]}}))
        events.put_targets(Rule=name, Targets=[{"Id": "target", "Arn": target}])
    entry = {"Source": "airflow-on-ecs", "DetailType": "Airflow Task State Change"}
    details = [json.dumps({"dag_id": dag_id}) for dag_id in ("a", "b")]
    answer = events.put_events(Entries=[{**entry, "Detail": detail} for detail in details])
    assert answer["FailedEntryCount"] == 0
    (message,) = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    assert json.loads(message["Body"])["detail"] == {"dag_id": "a"}
