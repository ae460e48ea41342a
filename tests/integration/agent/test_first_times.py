"""What the runner does once, so that tasks need not: each test shows also that Airflow's processes would do it."""

import json
from pathlib import Path

import pytest

from tests.support.airflows_python import asked, needs_airflow
from tests.support.aws_api import REGION, AwsApi

pytestmark = needs_airflow

# Counts pydantic's decoders that a task's process builds: those of its supervisor's messages, and one for a field.
DECODERS = """
import os
import pydantic
from airflow.sdk.execution_time import comms, task_runner
from agent.runner import decoders
if os.environ["INSTALLED"] == "yes":
    decoders.install()
built = []
make = pydantic.TypeAdapter.__init__

def count(self, *arguments, **options):
    built.append(self)
    make(self, *arguments, **options)

pydantic.TypeAdapter.__init__ = count
comms.CommsDecoder(socket=None)
field = task_runner.TypeAdapter(task_runner.JsonValue).validate_python({"a": [1, "b"]})
other = comms.TypeAdapter(list[int]).validate_python(["1"])
answer([len(built), field, other])
"""


@pytest.mark.parametrize(("installed", "built"), [("yes", 1), ("no", 4)])
def test_the_decoders_of_a_task_are_built_before_it_is_forked(installed: str, built: int, tmp_path: Path) -> None:
    """When the second case fails, Airflow builds them once by itself."""
    assert asked(DECODERS, home=tmp_path, INSTALLED=installed) == [built, {"a": [1, "b"]}, [1]]


# Counts how often a union of all messages is compared for the connection to a task's supervisor.
COMPARED = """
import os, typing
from airflow.sdk.execution_time import comms, task_runner
from agent.runner import decoders
if os.environ["INSTALLED"] == "yes":
    decoders.install()
compared = []
make = typing._AnnotatedAlias.__hash__

def count(self):
    compared.append(self)
    return make(self)

typing._AnnotatedAlias.__hash__ = count
made = task_runner.CommsDecoder[task_runner.ToTask, task_runner.ToSupervisor](socket=None)
answer([bool(compared), type(made) is comms.CommsDecoder])
"""


@pytest.mark.parametrize(("installed", "is_compared"), [("yes", False), ("no", True)])
def test_a_task_compares_no_union_of_messages(installed: str, is_compared: bool, tmp_path: Path) -> None:
    """When the second case fails, Airflow no longer does."""
    assert asked(COMPARED, home=tmp_path, INSTALLED=installed) == [is_compared, True]


# Counts how often a task's process sets up its logs and closes the database.
SET_UP = """
import os
from pathlib import Path
import airflow.sdk.log
from airflow.sdk.execution_time import supervisor
from agent.runner.channels import Channels
from agent.runner.task import AirflowTask

done = []

def counted(name, function):
    def count(*arguments, **options):
        done.append(name)
        return function(*arguments, **options)
    return count

airflow.sdk.log.configure_logging = counted("logs", airflow.sdk.log.configure_logging)
supervisor.block_orm_access = counted("database", supervisor.block_orm_access)
supervisor._subprocess_main = lambda: print("set up:", sorted(set(done)))
task = AirflowTask(Path(os.environ["AIRFLOW_HOME"]))
if os.environ["PREPARED"] == "yes":
    task.prepare()
    done.clear()
ours, theirs = Channels.pairs()
if os.fork() == 0:
    if os.environ["PREPARED"] == "yes":
        task.run(theirs, "")
    supervisor._fork_main(
        theirs.requests, theirs.stdout, theirs.stderr, theirs.logs.fileno(), supervisor._subprocess_main
    )
theirs.close()
answer([ours.stdout.recv(1000).decode().strip(), ours.logs.recv(1000).decode()])
"""


@pytest.mark.parametrize(("prepared", "set_up"), [("yes", []), ("no", ["database", "logs"])])
def test_a_task_sets_up_neither_its_logs_nor_the_database(prepared: str, set_up: list[str], tmp_path: Path) -> None:
    """When the second case fails, Airflow no longer does."""
    assert asked(SET_UP, home=tmp_path, PREPARED=prepared) == [f"set up: {set_up}", ""]


# Uploads two parts of one log, then the whole again, and a log to a bucket that is missing.
UPLOADS = """
import os
from airflow.providers.amazon.aws.log.s3_task_handler import S3RemoteLogIO
from agent.runner import uploads
if os.environ["INSTALLED"] == "yes":
    uploads.install()
bucket = "logs-" + os.environ["INSTALLED"]
place = "s3://" + bucket + "/base"
remote = S3RemoteLogIO(remote_base=place, base_log_folder=os.environ["AIRFLOW_HOME"], delete_local_copy=False)
sent = []
remote.hook.get_conn().meta.events.register("before-call.s3", lambda model, **_: sent.append(model.name))
answers = [remote.write("one", place + "/a.log"), remote.write("two", place + "/a.log")]
requests, log = list(sent), remote.s3_read(place + "/a.log")
remote.write(log, place + "/a.log")
again = remote.s3_read(place + "/a.log")
answers.append(remote.write("x", "s3://missing/base/b.log"))
answer({"answers": answers, "requests": requests, "log": log, "log_after_a_lost_answer": again})
"""


@pytest.mark.parametrize(
    ("installed", "requests"),
    [
        # The second upload finds an earlier part, and Airflow goes on as it always does; it reads with another client.
        ("yes", ["PutObject", "PutObject", "HeadObject", "PutObject"]),
        pytest.param("no", ["HeadObject", "PutObject", "HeadObject", "PutObject"], marks=pytest.mark.slow),
    ],
)
def test_a_log_without_an_earlier_part_is_uploaded_by_one_request(
    installed: str, requests: list[str], api: AwsApi, tmp_path: Path
) -> None:
    """When the second case fails, Airflow no longer asks first."""
    api.client("s3").create_bucket(Bucket=f"logs-{installed}", CreateBucketConfiguration={"LocationConstraint": REGION})
    settings = {name: value for name, value in api.environment.items() if name.startswith("AWS_")}
    found = asked(UPLOADS, home=tmp_path, INSTALLED=installed, AIRFLOW_CONN_AWS_DEFAULT="aws://", **settings)
    assert found["requests"] == requests
    assert found["log"] == "one\ntwo"
    assert found["answers"] == [True, True, False]
    # An upload whose answer was lost is sent again, and meets itself.
    assert found["log_after_a_lost_answer"] == ("one\ntwo" if installed == "yes" else "one\ntwo\none\ntwo")


# Makes a first request of Airflow's client, after a rehearsal or without one, and tells what is worked out only then.
REHEARSED = """
import os, re
import airflow.sdk
from agent.runner import rehearsal
sent = []
if os.environ["REHEARSED"] == "yes":
    import httpcore
    httpcore.HTTPConnection.handle_request = lambda *_: sent.append("http")
    rehearsal.rehearse()
compiled = []
compile = re._compiler.compile

def count(pattern, *arguments):
    compiled.append(str(pattern))
    return compile(pattern, *arguments)

re._compiler.compile = count
rehearsal._requests()
rehearsal._dag()
answer([len(compiled), sent])
"""


def test_a_rehearsal_leaves_nothing_to_compile_and_sends_nothing(tmp_path: Path) -> None:
    assert asked(REHEARSED, home=tmp_path, REHEARSED="yes") == [0, []]


@pytest.mark.slow
def test_a_task_would_compile_patterns_without_a_rehearsal(tmp_path: Path) -> None:
    """When this fails, the rehearsal of requests has become needless."""
    compiled, _ = asked(REHEARSED, home=tmp_path, REHEARSED="no")
    assert compiled > 0


# Logs and uploads as Airflow's supervisor does, and then files that are no log. S3 itself is not asked.
COPIED = """
import os
from pathlib import Path
from uuid import uuid4
from airflow.providers.amazon.aws.log.s3_task_handler import S3RemoteLogIO
from airflow.sdk.api.datamodels._generated import TaskInstance
from airflow.sdk.execution_time.supervisor import _configure_logging
from airflow.sdk.log import load_remote_log_handler, upload_to_remote
from agent.runner import log_copy
written = []
log_copy.install(os.environ, write=lambda descriptor, line: written.append(line.decode()))
S3RemoteLogIO.write = lambda self, log, location: True
base = Path(os.environ["AIRFLOW__LOGGING__BASE_LOG_FOLDER"])
path = "dag_id=d/run_id=r/task_id=t/attempt=2.log"
logger, file = _configure_logging(path, None)
logger.info("one")
try:
    raise ValueError("no fish")
except ValueError:
    logger.exception("two")
file.flush()
ti = TaskInstance(id=uuid4(), dag_id="d", run_id="r", task_id="t", try_number=2, dag_version_id=uuid4())
upload_to_remote(logger, ti)
emptied = (base / path).read_text()
(base / "link.log").symlink_to("/etc/hostname")
for other in ("link.log", "missing.log", "../outside.log"):
    load_remote_log_handler().upload(other, ti)
load_remote_log_handler().upload(path, None)
answer({"written": written, "emptied": emptied})
"""


@pytest.mark.parametrize(
    ("choice", "messages"),
    [
        ("all", ["one", "two", "end of the log"]),
        pytest.param("errors", ["two", "end of the log"], marks=pytest.mark.slow),
        pytest.param("none", [], marks=pytest.mark.slow),
    ],
)
def test_a_tasks_log_is_copied_once_when_it_is_uploaded(choice: str, messages: list[str], tmp_path: Path) -> None:
    settings = {
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(tmp_path / "logs"),
        "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
        "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": "s3://logs/base",
        "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": "aws_default",
        "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
    }
    found = asked(COPIED, home=tmp_path, TASK_LOG_COPY=choice, **settings)
    lines = [json.loads(line) for line in found["written"]]
    assert [line["message"] for line in lines] == messages
    assert all((line["dag_id"], line["try_number"], line["map_index"]) == ("d", 2, -1) for line in lines)
    assert [line["error"] for line in lines if "error" in line] == ['["ValueError: no fish"]'] * bool(lines)
    assert found["emptied"] == ""
