"""A program for the image's environment: Airflow's real schema and DAGs, and the forecaster, driven line by line.

Each line on stdin is a JSON object, answered by one on stdout:
{"migrate": true}
{"dags": {dag id: {"schedule": cron, "end": date or null, "tasks": number}}}
{"sql": statement}, on the forecaster's own connection: its first value, or the error
{"work": true}, one report on the work
{"tick": true}: {"wall_s", "cpu_s"} of one tick, and the process's {"memory_mib"}
{"costs": seconds}, what tasks cost is added up for so long: {"wall_s", "cpu_s"} and {"memory_mib"} likewise
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from airflow.models.dagbundle import DagBundleModel
from airflow.models.serialized_dag import SerializedDagModel
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from agent import variables
from agent.broker import connect
from agent.costs import accounts
from agent.costs.accounts import Accounts
from agent.forecaster.process import STATEMENT_TIMEOUT_MS, Forecaster, Settings, airflow_setup
from agent.read_only import read_only
from agent.work_report.process import WorkReporter
from fleet.registry import Registry

BUNDLE = "dags"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)

engine = read_only(os.environ[variables.DATABASE_URL], statement_timeout_ms=STATEMENT_TIMEOUT_MS, is_kept=True)
registry = Registry(connect(os.environ[variables.BROKER_URL]))
settings = Settings.from_environment(os.environ)
forecaster = Forecaster(settings, engine=engine, registry=registry)
reporter = WorkReporter(settings.limits, airflow_setup(), engine=engine, registry=registry)


def write(dags: dict[str, dict[str, Any]]) -> None:
    """Store DAGs as Airflow's DAG processor does."""
    written = []
    for dag_id, given in dags.items():
        end_date = datetime.fromisoformat(given["end"]) if given["end"] else None
        with DAG(dag_id, schedule=given["schedule"], start_date=BEGIN, end_date=end_date, catchup=False) as dag:
            for number in range(given["tasks"]):
                EmptyOperator(task_id=f"task{number}")
        written.append(LazyDeserializedDAG.from_dag(dag))
    with create_session() as session:
        if session.get(DagBundleModel, BUNDLE) is None:
            session.add(DagBundleModel(name=BUNDLE))
            session.flush()
        SerializedDAG.bulk_write_to_db(BUNDLE, None, written, session=session)
        for dag in written:
            SerializedDagModel.write_dag(dag, bundle_name=BUNDLE, session=session)


def execute(statement: str) -> str:
    try:
        with engine.connect() as connection:
            return str(connection.execute(text(statement)).scalar())
    except SQLAlchemyError as error:
        return f"{type(error).__name__}: {error}"


def costs(budget_s: float) -> None:
    broker = connect(os.environ[variables.BROKER_URL])
    settings = accounts.Settings.from_environment(os.environ)
    Accounts(settings, engine=engine, writer=broker, reader=broker).tick(budget_s=budget_s)


def measured(one_tick: Callable[[], None]) -> dict[str, float]:
    wall, cpu = time.monotonic(), time.process_time()
    one_tick()
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"wall_s": time.monotonic() - wall, "cpu_s": time.process_time() - cpu, "memory_mib": used / 1024}


answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # Airflow logs to stdout
for line in sys.stdin:
    (verb, value) = json.loads(line).popitem()
    answer: object = None
    match verb:
        case "migrate":
            initdb()
        case "dags":
            write(value)
        case "sql":
            answer = execute(value)
        case "tick":
            answer = measured(forecaster.tick)
        case "work":
            answer = measured(reporter.tick)
        case "costs":
            answer = measured(lambda budget_s=value: costs(budget_s))  # type: ignore[misc]
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
