"""A real Celery worker in a process of its own, with the fleet agent in it, for tests."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import celery
import redis

from fleet.access import unacked_keys
from fleet.member import Member
from fleet.registry import Registry
from project import paths
from roles.celery_settings import WORKER
from tests.support.fake_ecs import MEMBER_ID, TASK_ARN, FakeEcs
from tests.support.waiting import eventually

IMAGE = Path(__file__).parents[2] / "airflow_image"
QUEUE = "default"
POOL = "worker"
SLOTS = 2
APP = """
import json, os, time
from celery import Celery
from celery.exceptions import Reject
from agent.variables import WORKER_MODULES

app = Celery("probe", broker=os.environ["AIRFLOW__CELERY__BROKER_URL"])
app.conf.broker_transport_options = json.loads(os.environ["TRANSPORT_OPTIONS"])
# Those that need neither Airflow nor a runner.
modules = [module for module in WORKER_MODULES if module not in ("agent.handover", "agent.stop")]
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, imports=modules)
app.conf.update(json.loads(os.environ["SETTINGS"]))

@app.task(name="nap", ignore_result=True)
def nap(seconds):
    print('code ' + os.environ['FLEET_DAGS_HASH'])
    time.sleep(seconds)

@app.task(name="return_once", bind=True, ignore_result=True)
def return_once(task, seconds):
    time.sleep(seconds)
    if not task.request.delivery_info.get("redelivered"):
        print("returned")
        raise Reject("as if no runner were connected", requeue=True)
"""


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A worker of SLOTS slots on QUEUE."""

    process: subprocess.Popen[bytes]
    client: redis.Redis
    log: Path

    def send(self, *arguments: float, count: int = 1, task: str = "nap") -> None:
        """Queues `count` tasks; they take as many seconds as their argument says."""
        url = "redis://{host}:{port}/0".format(**self.client.connection_pool.connection_kwargs)
        with celery.Celery("sender", broker=url) as app:
            for _ in range(count):
                app.send_task(task, args=arguments, queue=QUEUE, ignore_result=True)

    @property
    def member(self) -> Member | None:
        """What the worker says of itself."""
        found = [member for member in Registry(self.client).members().members if member.id == MEMBER_ID]
        return found[0] if found else None

    def reaches(self, state: str, *, within_s: float = 15.0) -> bool:
        """Whether it reports `state` in time."""
        return eventually(lambda: (member := self.member) is not None and member.state == state, within_s=within_s)

    def order(self, order: str) -> float:
        """Give it an order; return the time, by the monotonic clock."""
        Registry(self.client).give_orders({MEMBER_ID: order})
        return time.monotonic()

    @property
    def queued(self) -> int:
        """Return the messages that no worker has taken."""
        return int(self.client.llen(QUEUE))

    @property
    def in_flight(self) -> int:
        """Messages taken and not acknowledged."""
        return int(self.client.hlen(unacked_keys(POOL)[0]))

    def finished(self) -> int:
        """Tasks that ended well."""
        return self.log.read_text().count(" succeeded in ")


@contextlib.contextmanager
def running_worker(
    *,
    client: redis.Redis,
    url: str,
    ecs: FakeEcs,
    folder: Path,
    python: str | Path = sys.executable,
    reader_url: str | None = None,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Worker]:
    """Yield a worker; kill it in the end if it still runs. By default Airflow is not installed where it runs.

    `settings` are further environment variables.
    """
    names = ("unacked_key", "unacked_index_key", "unacked_mutex_key")
    (folder / "probe.py").write_text(APP)
    log = folder / "worker.log"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{folder}:{paths.IMAGE_PYTHONPATH}",
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CELERY__BROKER_URL": url,
        "FLEET_READER_URL": reader_url or url,
        "TRANSPORT_OPTIONS": json.dumps(dict(zip(names, unacked_keys(POOL), strict=True))),
        "ECS_AGENT_URI": ecs.agent_uri,
        "SETTINGS": json.dumps(WORKER),
        "FLEET_ROLE": "worker",
        "FLEET_TASK_ARN": TASK_ARN,
        "FLEET_POOL": POOL,
        "FLEET_QUEUES": QUEUE,
        "FLEET_SLOTS": str(SLOTS),
        "IMAGE_VERSION": "1.2.3",
        **settings,
    }
    shape = ["--concurrency", str(SLOTS), "--queues", QUEUE, "--without-mingle", "--without-gossip"]
    argv = [python, "-m", "celery", "-A", "probe", "worker", "--loglevel", "INFO", "--pool", "threads", *shape]
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, env=environment, cwd=folder, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield Worker(process=process, client=client, log=log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
