"""Does once, before any fork, what each task would do for the first time: libraries then keep what they work out.

Each process would otherwise compile the same patterns, find out the same about the same classes, and work out the
address of the same bucket. Nothing is sent or signed.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from datetime import UTC, datetime

log = logging.getLogger(__name__)


def rehearse() -> None:
    """Rehearse all that Airflow's version here can; what it cannot each task does for the first time, as before."""
    for part in (_requests, _upload, _dag):
        try:
            part()
        except Exception as error:  # noqa: BLE001 - a rehearsal that fails costs time, not tasks
            log.warning("runner: cannot rehearse %s: %r", part.__name__, error)


def _requests() -> None:
    """Make requests of a task's supervisor with Airflow's own client; a transport answers that does not connect."""
    import httpx
    from airflow.sdk.api.client import Client

    transport = httpx.MockTransport(lambda _: httpx.Response(204))
    task, token = uuid.uuid4(), ""
    with contextlib.closing(Client(base_url="http://rehearsal/execution/", token=token, transport=transport)) as client:
        client.task_instances.heartbeat(task, pid=1)
        client.task_instances.set_rtif(task, {})
        client.task_instances.succeed(task, datetime.now(tz=UTC), [], [], None)


def _upload() -> None:
    """Upload a log with the client that will upload the others. botocore's stub answers before it signs or connects."""
    from airflow.sdk.log import load_remote_log_handler
    from botocore.stub import Stubber

    if (handler := load_remote_log_handler()) is None:
        return
    bucket, key = handler.hook.parse_s3_url(f"{handler.remote_base.rstrip('/')}/rehearsal")
    with Stubber(handler.hook.get_conn()) as stub:
        stub.add_response("put_object", {})
        handler.hook.get_conn().put_object(Bucket=bucket, Key=key, Body=b"", IfNoneMatch="*")


def _dag() -> None:
    """Make a DAG of one task, as DAG files do."""
    from airflow.sdk import dag, task

    @task  # type: ignore[untyped-decorator]
    def nothing(_: int = 0) -> None:
        pass

    @dag(dag_id="rehearsal", schedule=None)  # type: ignore[untyped-decorator]
    def rehearsal() -> None:
        nothing()

    rehearsal()
