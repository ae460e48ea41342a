"""A program for the image's environment: makes task instances in Airflow's real schema, driven line by line.

Each line on stdin is a JSON object, answered by one on stdout:
{"dag": number of tasks}: store the DAG; the version of the Execution API that a supervisor asks for
{"run": true}: a new run, whose tasks are queued: a list of [task instance's id, its token as the executor makes it]
"""

import json
import os
import sys
from datetime import UTC, datetime

from airflow.executors.base_executor import BaseExecutor
from airflow.executors.workloads.base import BaseWorkloadSchema
from airflow.models.dagbundle import DagBundleModel
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.sdk.api.datamodels._generated import API_VERSION
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select, update

BUNDLE = DAG_ID = "bench"


def store(tasks: int) -> str:
    """Store the DAG as Airflow's DAG processor does. Return the version of the Execution API."""
    with DAG(DAG_ID, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        for number in range(tasks):
            EmptyOperator(task_id=f"task{number}")
    lazy = LazyDeserializedDAG.from_dag(dag)
    with create_session() as session:
        session.add(DagBundleModel(name=BUNDLE))
        session.flush()
        SerializedDAG.bulk_write_to_db(BUNDLE, None, [lazy], session=session)
        SerializedDagModel.write_dag(lazy, bundle_name=BUNDLE, session=session)
    return str(API_VERSION)


def run() -> list[tuple[str, str]]:
    """Make a run whose tasks the executor has queued."""
    now = datetime.now(UTC)
    with create_session() as session:
        dag = SerializedDagModel.get_dag(DAG_ID, session=session)
        made = dag.create_dagrun(
            run_id=f"bench__{now.isoformat()}",
            run_after=now,
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.RUNNING,
            session=session,
        )
        session.flush()
        of_this = TaskInstance.run_id == made.run_id
        session.execute(update(TaskInstance).where(of_this).values(state=TaskInstanceState.QUEUED, try_number=1))
        ids = [str(found) for found in session.scalars(select(TaskInstance.id).where(of_this))]
    generator = BaseExecutor(parallelism=1).jwt_generator
    return [(each, BaseWorkloadSchema.generate_token(each, generator)) for each in ids]


answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # Airflow logs to stdout
for line in sys.stdin:
    (verb, value) = json.loads(line).popitem()
    answers.write(json.dumps(store(value) if verb == "dag" else run()) + "\n")
    answers.flush()
