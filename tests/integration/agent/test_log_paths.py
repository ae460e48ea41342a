"""What has the longest ids that are allowed has a log, and a run with a longer one is refused when it is created."""

from pathlib import Path

import pytest

from roles.compose import COMMON
from roles.log_paths import MAX_DAG_ID_BYTES, MAX_RUN_ID_BYTES, MAX_TASK_ID_BYTES
from tests.support.airflow_database import STORING
from tests.support.airflows_python import asked, needs_airflow

pytestmark = needs_airflow
S3_KEY_BYTES = 1024
LOG = f"""
from types import SimpleNamespace
from airflow.sdk.log import init_log_file
from airflow.utils.helpers import log_filename_template_renderer

def opened(run_id):
    ti = SimpleNamespace(dag_id="d" * {MAX_DAG_ID_BYTES}, run_id=run_id, task_id="t" * {MAX_TASK_ID_BYTES},
                         map_index=2**31 - 1, try_number=2**31 - 1)
    path = log_filename_template_renderer()(ti=ti)
    try:
        init_log_file(path).open("ab").close()
    except OSError as error:
        return [len(path), error.strerror]
    return [len(path), "ok"]

answer([opened("r" * ({MAX_RUN_ID_BYTES} + extra)) for extra in (0, 1)])
"""
RUNS = """
from airflow._shared.timezones import timezone
from airflow.models.dagrun import DagRun
from airflow.sdk import DAG
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select

with DAG("dag", schedule=None) as dag:
    pass
stored = store(dag)

def created(run_id):
    try:
        with create_session() as session:
            stored.create_dagrun(run_id=run_id, run_after=timezone.utcnow(), run_type=DagRunType.MANUAL,
                                 triggered_by=DagRunTriggeredByType.REST_API, state=DagRunState.QUEUED,
                                 session=session)
    except ValueError as error:
        return str(error)

refused = [created(run_id) for run_id in {run_ids!r}]
with create_session() as session:
    answer({{"refused": refused, "created": sorted(session.scalars(select(DagRun.run_id)))}})
"""


@pytest.mark.slow
def test_the_longest_ids_fit_into_the_log_folder_and_into_a_key_of_the_bucket(tmp_path: Path) -> None:
    longest, longer = asked(LOG, home=tmp_path)
    assert longest[1] == "ok"
    assert len("logs/") + longest[0] + len(".trigger.2147483647.log") <= S3_KEY_BYTES
    assert longer[1] == "File name too long"


def test_a_run_whose_tasks_would_have_no_log_is_refused_with_the_limit(tmp_path: Path) -> None:
    allowed = ["r" * MAX_RUN_ID_BYTES, "manual__2026-01-01T00:00:00+00:00", "a+1.2~:-_"]
    too_long = ["r" * (MAX_RUN_ID_BYTES + 1), "r" * MAX_RUN_ID_BYTES + "\n", "r" * 251]
    found = asked(
        STORING + RUNS.format(run_ids=allowed + too_long),
        home=tmp_path,
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{tmp_path}/airflow.db",
        **COMMON,
    )
    assert found["created"] == sorted(allowed)
    refused = found["refused"][len(allowed) :]
    assert found["refused"][: len(allowed)] == [None] * len(allowed)
    assert all(f"{{1,{MAX_RUN_ID_BYTES}}}" in reason for reason in refused)
    assert len(refused) == len(too_long)
